"""`kpi reset`: forget all state, so that the raw topic is counted from its start again."""

import shutil
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownTopicOrPartitionError, for_code

from kpi_app.errors import UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.settings import Settings, without_password
from kpi_app.sinks.reset import reset
from kpi_app.stream.kafka import admin
from kpi_app.stream.topics import Names


def what_is_forgotten(settings: Settings) -> list[str]:
    """What `forget` deletes, a line each, for the question before it."""
    names = Names(settings.topic)
    return [
        f"topics {names.changelog} and {names.rejected} on {settings.brokers}",
        f"rows, segments and books of {settings.topic} in {without_password(settings.database_url.get_secret_value())}",
        f"local tables in {settings.data_dir}{'' if _tables(settings) else ' (none here)'}",
    ]


async def forget(settings: Settings) -> None:
    """Delete it, the database's part first. Raises `UserError`, before anything is deleted, while workers run."""
    names = Names(settings.topic)
    async with admin(settings) as client:
        await _check_stopped(client, names)
        # The database first: should the rest fail, the state is ahead of it and a worker stops instead of counting on.
        await reset(settings.database_url.get_secret_value(), ACCESS)
        deleted = await client.delete_topics([names.changelog, names.rejected])
        for topic, code in deleted.topic_error_codes:
            if code and for_code(code) is not UnknownTopicOrPartitionError:
                raise UserError(f"topic {topic} could not be deleted: {for_code(code).__name__}; run `kpi reset` again")
    for table in _tables(settings):
        shutil.rmtree(table)


async def _check_stopped(client: AIOKafkaAdminClient, names: Names) -> None:
    [response] = await client.describe_consumer_groups([names.app])
    members = response.groups[0][-1] if len(response.groups[0]) == 6 else response.groups[0][5]
    if members:
        raise UserError(f"{len(members)} worker(s) of {names.app} are running: stop them first")


def _tables(settings: Settings) -> list[Path]:
    return sorted(settings.data_dir.glob("worker-*"))
