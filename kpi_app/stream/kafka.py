"""Clients of Kafka as the settings want them, and its errors in one clear line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from kpi_app.errors import UserError
from kpi_app.settings import Settings
from kpi_app.stream.refused import Refusals
from kpi_app.stream.security import security

#: A fenced or dead owner's transaction ends after this long at the latest.
TRANSACTION_TIMEOUT_MS = 15_000

REQUEST_TIMEOUT_MS = 10_000

#: Of a batch, before compression: most checkpoints are one. aiokafka's own 16 kB are two segments, then it waits for
#: the broker before it takes a third; a broker takes a megabyte.
BATCH_BYTES = 512 << 10

#: How long the last of the brokers may take to answer.
CONNECT_LIMIT_S = 8.0


def connection(settings: Settings) -> dict[str, Any]:
    """The options that every aiokafka client takes. Raises `UserError` for a file that can't be used."""
    return {
        "bootstrap_servers": settings.brokers,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        **security(settings),
    }


def transactional_producer(settings: Settings, transactional_id: str) -> AIOKafkaProducer:
    """A producer of transactions, of one partition's checkpoints for one; starting it fences the previous one."""
    return AIOKafkaProducer(
        **connection(settings),
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        acks="all",
        linger_ms=0,
        max_batch_size=BATCH_BYTES,
        compression_type="zstd",  # dead letters; segments are compressed already
    )


def changelog_reader(settings: Settings) -> AIOKafkaConsumer:
    """A consumer outside of any group that sees committed checkpoints, or other transactions, only."""
    return AIOKafkaConsumer(
        **connection(settings),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=20,
    )


@asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client. Raises `UserError` when no broker answers, or none lets us in."""
    client = AIOKafkaAdminClient(**connection(settings))
    where = f"KPI_BROKERS={settings.brokers}"
    try:
        with Refusals() as refusals:
            try:
                # each broker that says nothing may hold up those behind it
                async with asyncio.timeout(CONNECT_LIMIT_S + settings.brokers.count(",") * REQUEST_TIMEOUT_MS / 1000):
                    await client.start()
            except (KafkaConnectionError, TimeoutError) as error:
                raise UserError(f"{where}: {refusals.reason or 'no broker answers there'}") from error
        yield client
    except KafkaError as error:
        raise UserError(f"{where}: {type(error).__name__}: {error}") from error
    finally:
        await client.close()
