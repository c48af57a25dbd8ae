"""Sites for tests of exactness: each a topic and a database of its own, on the broker and Postgres of the run."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from kpi_app.sinks.migrate import migrate
from tests.conftest import Kafka, Postgres, create_topic, execute
from tests.exactness.lines import Source
from tests.exactness.rig import Rig, Site, opened
from tests.exactness.workers import Worker

MakeRig = Callable[..., Awaitable[Rig]]


class Sites:
    """Makes sites, by default on the broker and the Postgres of the run, and removes what it made there."""

    def __init__(self, brokers: str, dsn: str, directories: pytest.TempPathFactory) -> None:
        self._brokers = brokers
        self._dsn = dsn
        self._directories = directories

    async def make(self, partitions: int = 3, brokers: str | None = None, dsn: str | None = None) -> Site:
        """A new topic, on `brokers` if given, and a new database, in the place of `dsn` if given."""
        brokers, dsn = brokers or self._brokers, dsn or self._dsn
        name = f"exactness_{uuid4().hex[:12]}"
        await execute(dsn, f"CREATE DATABASE {name} TEMPLATE template0")
        dsn = urlsplit(dsn)._replace(path=f"/{name}").geturl()
        await migrate(dsn)
        async with _admin(brokers) as admin:
            topic = await create_topic(admin, name, partitions)
        return Site(brokers, dsn, topic, self._directories.mktemp(name), Source(partitions))

    async def remove(self, site: Site) -> None:
        """End its workers; remove what is left of it on the servers of the run."""
        site.kill_all()
        if site.brokers == self._brokers:
            async with _admin(site.brokers) as admin:
                await admin.delete_topics([site.topic, site.names.changelog, site.names.rejected])
        if urlsplit(site.dsn).netloc == urlsplit(self._dsn).netloc:
            await execute(self._dsn, f"DROP DATABASE {site.topic} WITH (FORCE)")


@pytest.fixture(scope="session", autouse=True)
def _imported_ahead() -> None:
    Worker.import_ahead()


@pytest.fixture(scope="session")
def sites(kafka: Kafka, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Sites:
    """Where tests have their sites from."""
    return Sites(kafka.bootstrap, postgres.dsn, tmp_path_factory)


@pytest.fixture
async def make_rig(sites: Sites) -> AsyncIterator[MakeRig]:
    """`await make_rig(partitions=3)`: a site of the test's own, with clients; removed afterwards."""
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> Rig:
            site = await sites.make(**options)
            stack.push_async_callback(sites.remove, site)
            return await stack.enter_async_context(opened(site))

        yield make


@pytest.fixture
async def rig(make_rig: MakeRig) -> Rig:
    """A rig with three partitions."""
    return await make_rig()


@asynccontextmanager
async def _admin(brokers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
