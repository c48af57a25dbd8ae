"""`kpi reset`: forget all state, so that the raw topic is counted from its start again."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
    for_code,
)

from kpi_app.database_url import without_password
from kpi_app.errors import UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.settings import Settings
from kpi_app.sinks.check import check_connection
from kpi_app.sinks.reset import OnTable, reset
from kpi_app.stream.kafka import admin, transactional_producer
from kpi_app.stream.topics import Names

#: How long Kafka may take to delete topics, or to find the group's coordinator, whose topic it makes when first asked.
_PATIENCE_S = 10.0
_ASK_EVERY_S = 0.2

#: How long to end a replay's transaction; the first time, Kafka makes a topic for that, too.
_FENCE_S = 30.0


def what_is_forgotten(settings: Settings) -> list[str]:
    """What `forget` deletes, a line each, for the question before it."""
    names = Names(settings.topic)
    here = ", ".join(table.name for table in _tables(settings)) or "none here"
    return [
        f"topics    {names.changelog} and {names.rejected} on {settings.brokers}",
        f"Postgres  rows, segments and books of {settings.topic} in "
        f"{without_password(settings.database_url.get_secret_value())}",
        f"disk      tables of workers in {settings.data_dir}: {here}",
        f"The topic {settings.topic} stays: the next worker counts it from its start.",
    ]


async def check_resettable(settings: Settings) -> None:
    """Return when `forget` can do its work. Raises `UserError` while workers run, or without Kafka or Postgres."""
    async with admin(settings) as client:
        await _check_stopped(client, Names(settings.topic))
    await check_connection(settings.database_url.get_secret_value())


async def forget(settings: Settings, told: OnTable = lambda done, total, what: None) -> None:
    """Delete it, the database's part first, which may take long: `told` hears how far that is.

    Raises `UserError`, before anything is deleted, while workers run.
    """
    names = Names(settings.topic)
    async with admin(settings) as client:
        await _check_stopped(client, names)
        await _fence_replays(settings, names)
        # The database first: should the rest fail, the state is ahead of it and a worker stops instead of counting on.
        await reset(settings.database_url.get_secret_value(), ACCESS, told=told)
        await _delete_topics(client, [names.changelog, names.rejected])
    for table in _tables(settings):
        try:
            shutil.rmtree(table)
        except OSError as error:
            raise UserError(f"{error.filename or table}: {error.strerror}; run `kpi reset` again") from error


async def _fence_replays(settings: Settings, names: Names) -> None:
    """No `kpi rejected --replay` goes on: its receipts would be for letters that are no more."""
    producer = transactional_producer(settings, names.replay)
    try:
        async with asyncio.timeout(_FENCE_S):
            await producer.start()
    except TransactionalIdAuthorizationFailed:
        raise UserError(
            f"this user of Kafka may not use the transactional id {names.replay}: grant what deploy/kafka/acls.sh does"
        ) from None
    except TimeoutError:
        raise UserError(f"Kafka does not end what {names.replay} has begun: run `kpi reset` again") from None
    finally:
        await producer.stop()


async def _delete_topics(client: AIOKafkaAdminClient, topics: list[str]) -> None:
    deleted = await client.delete_topics(topics)
    for topic, code in deleted.topic_error_codes:
        if code and for_code(code) is not UnknownTopicOrPartitionError:
            raise UserError(f"topic {topic} could not be deleted: {for_code(code).__name__}; run `kpi reset` again")

    async def gone() -> bool:
        return not {each["topic"] for each in await client.describe_topics()} & set(topics)

    # Kafka deletes behind its answer: a worker that started now would find the old ones.
    await _patiently(gone, f"topics {', '.join(topics)} are still being deleted: wait, then run `kpi reset` again")


async def _check_stopped(client: AIOKafkaAdminClient, names: Names) -> None:
    members: list[Any] = []

    async def asked() -> bool:
        try:
            [response] = await client.describe_consumer_groups([names.app])
        except GroupCoordinatorNotAvailableError:
            return False
        [(code, _group, _state, _type, _protocol, found, *_)] = response.groups
        if for_code(code) is GroupAuthorizationFailedError:
            raise UserError(
                f"this user of Kafka may not see the group {names.app}: grant what deploy/kafka/acls.sh does"
            )
        members.extend(found)
        return bool(code == 0)  # not so while the coordinator is still loading its groups

    await _patiently(asked, f"Kafka does not say who is in the group {names.app}: try again")
    if members:
        count = "1 worker" if len(members) == 1 else f"{len(members)} workers"
        raise UserError(
            f"{count} of {names.app} running: stop them first (one that was killed counts for ten more seconds)"
        )


async def _patiently(probe: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while not await probe():  # noqa: ASYNC110  Kafka has to be asked
                await asyncio.sleep(_ASK_EVERY_S)
    except TimeoutError:
        raise UserError(otherwise) from None


def _tables(settings: Settings) -> list[Path]:
    return sorted(path for path in settings.data_dir.glob("worker-*") if path.is_dir())
