"""The pages on a real faust app's web server, over a stand-in for the worker."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import faust
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from kpi_app.feeds.access import ACCESS
from kpi_app.stream.metrics import Metrics
from kpi_app.web import OPTIONS, Door, Shown, register
from tests.web.worker import Group, Owned, Reader


@dataclass
class Site:
    """The pages, what they show, and a client."""

    owned: Owned
    group: Group
    reader: Reader
    metrics: Metrics
    client: TestClient[Any, Any]
    app: Any

    async def get(self, path: str | URL, **options: Any) -> ClientResponse:
        """Ask; the answer's body is read."""
        answer = await self.client.get(path, **options)
        await answer.read()
        return answer

    async def json(self, path: str | URL, **options: Any) -> Any:
        """Ask for JSON, whatever the status."""
        return await (await self.get(path, **options)).json()


def pages(owned: Owned, group: Group, reader: Reader, metrics: Metrics, door: Door | None = None) -> Any:
    """A faust app whose web server has the pages."""
    app = faust.App("pages", broker="kafka://127.0.0.1:1", store="memory://", web_bind="127.0.0.1", **OPTIONS)
    app.Table("segments", help="what it holds")
    register(app, owned, group, reader, metrics, Shown(ACCESS, "access-log", (60, 3_600), "UTC", 0.05), door)
    app.web.init_server()
    return app


@pytest.fixture
def owned() -> Owned:
    return Owned(assigned=frozenset())


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def metrics(owned: Owned) -> Iterator[Metrics]:
    metrics = Metrics()
    metrics.read_from(owned, lambda partition, now_s: False)
    return metrics


@pytest.fixture
async def site(owned: Owned, group: Group, reader: Reader, metrics: Metrics) -> AsyncIterator[Site]:
    app = pages(owned, group, reader, metrics)
    async with TestClient(TestServer(app.web.web_app)) as client:
        yield Site(owned, group, reader, metrics, client, app)
