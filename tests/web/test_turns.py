"""Turns: who asks waits for the others, and not without end; what is live is not held up."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from aiohttp import ClientResponse

from kpi_app.web import turns
from tests.web.conftest import Site
from tests.web.test_live import row

PATHS = [
    "/kpi/windows",
    "/kpi/report",
    "/kpi/top?dimension=path&window_start=2026-01-31T08:00:00Z",
    "/kpi/overview?from=2026-01-31T08:00:00Z&to=2026-01-31T09:00:00Z",
    "/kpi/segments?partition=3",
]


class Counted:
    """How many questions were with Postgres at once."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    async def ping(self) -> None:
        """Take a while, so that another one could begin."""
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(100):
            await asyncio.sleep(0)
        self.now -= 1


async def test_one_question_of_the_pages_is_with_postgres_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all kinds; the other connection is for what is live."""
    counted = Counted()
    monkeypatch.setattr(site.reader, "ping", counted.ping)
    answers = await asyncio.gather(*(site.get(path) for path in PATHS * 2))
    assert {answer.status for answer in answers} == {200}
    assert counted.most == 1


async def test_a_crowd_is_told_that_it_is_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that Postgres is away; and who looks at what is live still hears of it."""
    monkeypatch.setattr(turns, "MOST_WAITING", 2)
    gate, asked = asyncio.Event(), site.reader.windows

    async def windows(size_s: int, start: datetime | None, end: datetime | None, limit: int) -> Any:
        if start is None:  # a page, not what is live
            await gate.wait()
        return await asked(size_s, start, end, limit)

    monkeypatch.setattr(site.reader, "windows", windows)
    site.reader.rows = [row(10)]
    asking = [asyncio.create_task(site.get("/kpi/windows")) for _ in range(3)]
    async with asyncio.timeout(20):
        [first], waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        refused: ClientResponse = await first
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        assert (await refused.json())["error"] == "too many are asking: try again later"
        async with site.client.get("/kpi/events?size=60&range=3600") as stream:
            while not (await stream.content.readline()).startswith(b"event: rows"):
                pass
        gate.set()
        assert [(await one).status for one in waiting] == [200, 200]
        assert (await site.get("/kpi/windows")).status == 200
