"""What every room's tests share: a real Kafka and a real Postgres, started once for the whole run.

`KPI_TEST_BROKERS` and `KPI_TEST_DATABASE_URL` (of a role that may create databases) put others in their place.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code
from hypothesis import HealthCheck, settings

from kpi_app.local.kafka import EmbeddedKafka
from kpi_app.local.postgres import EmbeddedPostgres

settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

MakeTopic = Callable[..., Awaitable[str]]


class Kafka(Protocol):
    """A broker to test against."""

    @property
    def bootstrap(self) -> str:
        """`host:port`."""


class Postgres(Protocol):
    """A Postgres to test against."""

    @property
    def dsn(self) -> str:
        """URL of a database, with a role that may create others."""


class _Given:
    """A server that the environment names."""

    def __init__(self, address: str) -> None:
        self.bootstrap = self.dsn = address


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own KPI_ settings don't reach the tests."""
    for name in list(os.environ):
        if name.startswith("KPI_") and not name.startswith("KPI_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker for the whole run; who wants to break one takes `breakable_kafka`."""
    if given := os.environ.get("KPI_TEST_BROKERS"):
        yield _Given(given)
        return
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A Postgres for the whole run; who wants to break one takes `breakable_postgres`."""
    if given := os.environ.get("KPI_TEST_DATABASE_URL"):
        yield _Given(given)
        return
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server


@pytest.fixture
def breakable_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker of the test's own, to `kill()`, `stop()` and `start()`; up in some 4 s."""
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture
def breakable_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A Postgres of the test's own, to `kill()`, `stop()` and `start()`; up in about 1 s."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server


@pytest.fixture
async def topic(kafka: Kafka) -> AsyncIterator[MakeTopic]:
    """`await topic(partitions=3, **config)` makes a topic with a new name, deleted afterwards."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    made: list[str] = []

    async def make(partitions: int = 1, *, name: str = "test", **config: str) -> str:
        made.append(await create_topic(admin, f"{name}-{uuid4().hex[:12]}", partitions, config))
        return made[-1]

    try:
        yield make
        if made:
            await admin.delete_topics(made)
    finally:
        await admin.close()


async def create_topic(
    admin: AIOKafkaAdminClient, name: str, partitions: int, config: dict[str, str] | None = None
) -> str:
    """Makes a topic, waits until each of its partitions has a leader, returns its name."""
    kafka_names = {key.replace("_", "."): value for key, value in (config or {}).items()}
    answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=kafka_names)])
    for _, code, *_ in answer.topic_errors:
        if code:
            raise for_code(code)(name)
    async with asyncio.timeout(30):
        # Kafka tells nobody when they are elected: it has to be asked.
        while await _leaders(admin, name) < partitions:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return name


async def _leaders(admin: AIOKafkaAdminClient, name: str) -> int:
    (described,) = await admin.describe_topics([name])
    return sum(partition["leader"] >= 0 for partition in described["partitions"])


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[str]:
    """The DSN of an empty database of the test's own, dropped afterwards."""
    async with own_database(postgres.dsn, f"test_{uuid4().hex[:12]}") as dsn:
        yield dsn


@asynccontextmanager
async def own_database(server_dsn: str, name: str) -> AsyncIterator[str]:
    """The DSN of an empty database of this name, dropped with the block."""
    await execute(server_dsn, f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield urlsplit(server_dsn)._replace(path=f"/{name}").geturl()
    await execute(server_dsn, f'DROP DATABASE "{name}" WITH (FORCE)')


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that is closed with the block."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def execute(dsn: str, sql: str) -> None:
    """Run one statement on a connection of its own."""
    async with connected(dsn) as connection:
        await connection.execute(sql)
