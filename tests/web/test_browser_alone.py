"""The page in a real browser, over a stand-in for the worker: what it does with news, and with what is not there."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, expect

from kpi_app.errors import SinkBusy, UserError
from kpi_app.stream.metrics import Metrics
from kpi_app.web import live, overviews
from tests.web.browser import PATIENCE_MS, browser, page
from tests.web.conftest import pages
from tests.web.test_browser import card, tile
from tests.web.test_live import row
from tests.web.worker import Group, Owned, Reader

pytestmark = pytest.mark.asyncio(loop_scope="module")

expect.set_options(timeout=PATIENCE_MS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as opened:
        yield opened


def books(partition: int, lines: int, written: datetime) -> dict[str, Any]:
    """The books of a partition."""
    zero = dict.fromkeys(("rejected", "late_dropped", "duplicates", "lost_offsets"), 0)
    told = {"partition": partition, "next_offset": lines, "lines": lines, "counted": lines, "updated_at": written}
    return zero | told | {"watermark": None, "idle": False}


def top(*requests: int) -> list[dict[str, Any]]:
    """Paths, the last one is the rest."""
    names = [f"/{n}" for n in range(len(requests) - 1)] + ["(other)"]
    return [
        {"value": name, "requests": n, "errors": 0, "requests_error": 0}
        for name, n in zip(names, requests, strict=True)
    ]


class Told(Reader):
    """A reader whose overviews have a list of paths, and whose answers can fail and wait."""

    windows_error: Exception | None = None
    report_error: Exception | None = None
    #: Overviews of a minute wait for it.
    gate: asyncio.Event | None = None
    minutes = 0

    async def windows(self, *asked: Any) -> Any:
        """The rows, or the error."""
        if self.windows_error:
            raise self.windows_error
        return await super().windows(*asked)

    async def overview(self, start: datetime, end: datetime) -> Mapping[str, Any] | None:
        """Figures that follow the rows."""
        if end - start == timedelta(minutes=1):
            self.minutes += 1
            if self.gate:
                await self.gate.wait()
        requests = sum(one["requests"] for one in self.rows)
        times = {"request_time_p50": 0.1, "request_time_p95": 0.2, "request_time_p99": 0.3}
        return {"requests": requests, "unique_visitors": 1, **times, "tops": {"path": top(requests, 1)}}

    async def report(self, wish: Any) -> Any:
        """A longer list, that follows the rows, too."""
        if self.report_error:
            raise self.report_error
        return top(sum(one["requests"] for one in self.rows), 2, 1)


@dataclass
class Stage:
    """A page, and what it is told."""

    reader: Told
    url: str
    browser: Browser

    def page(self, query: str = "?range=1h&size=60", **options: Any) -> Any:
        """It, opened."""
        return page(self.browser, f"{self.url}/{query}", **options)


@pytest_asyncio.fixture(loop_scope="module")
async def stage(chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(live, "OVERVIEW_EVERY_S", 0.0)
    monkeypatch.setattr(live, "MOST_PAUSE_S", 0.05)
    monkeypatch.setattr(overviews, "KEPT_S", 0.0)
    reader = Told(rows=[row(10, 7), row(11, 2)], books=[books(0, 1, datetime(2026, 1, 31, tzinfo=UTC))])
    app = pages(Owned(), Group(), reader, Metrics())
    async with TestServer(app.web.web_app) as server:
        yield Stage(reader, str(server.make_url("/")).rstrip("/"), chromium)


async def test_trouble_is_shown_until_there_are_rows_again(stage: Stage) -> None:
    """Though the books still come."""
    async with stage.page() as opened:
        await expect(tile(opened, "requests")).to_have_text("9")
        stage.reader.windows_error = SinkBusy("a statement took too long")
        await expect(opened.locator("#notes .bad")).to_contain_text("Postgres does not answer")
        stage.reader.books = [books(0, 5, datetime(2026, 1, 31, tzinfo=UTC))]
        await expect(tile(opened, "lines")).to_have_text("5")
        assert await opened.locator("#notes .bad").count() == 1
        await expect(opened.locator("#pulse")).not_to_have_text("live")
        stage.reader.windows_error = None
        await expect(opened.locator("#notes .bad")).to_have_count(0)
        await expect(opened.locator("#pulse")).to_have_text("live")


async def test_news_leave_the_controls_alone(stage: Stage) -> None:
    """A select stays open, a click is not lost; and what they do is about what is shown now."""
    async with stage.page() as opened:
        await expect(tile(opened, "requests")).to_have_text("9")
        await opened.evaluate("window.controls = [...document.querySelectorAll('#bar *')]")
        stage.reader.rows = [row(10, 7), row(11, 2), row(12, 1)]
        await expect(tile(opened, "requests")).to_have_text("10")
        same = "window.controls.every((one, i) => one === document.querySelectorAll('#bar *')[i])"
        assert await opened.evaluate(same)
        await opened.locator("#earlier").click()
        await expect(opened.locator("#pulse")).to_have_text("fixed range")
        # [07:13 ---- shown ---- 08:13), half an hour back
        assert "from=2026-01-31T06:43:00Z&to=2026-01-31T07:43:00Z" in opened.url


async def test_a_chosen_window_keeps_its_lists_until_there_are_others(stage: Stage) -> None:
    """While it is still counted, they are asked for again and again."""
    async with stage.page("?range=1h&size=60&at=2026-01-31T08:11:00Z") as opened:
        await expect(card(opened, "path").locator("li").first).to_contain_text("9")
        before = stage.reader.minutes
        stage.reader.gate = asyncio.Event()
        stage.reader.rows = [row(10, 7), row(11, 3)]
        async with asyncio.timeout(60):
            while stage.reader.minutes == before:  # noqa: ASYNC110 - the page asks when it likes
                await asyncio.sleep(0.02)
        assert await card(opened, "path").count() == 1
        stage.reader.gate.set()
        await expect(card(opened, "path").locator("li").first).to_contain_text("10")


@pytest.mark.parametrize(
    ("at", "requests", "is_chosen"),
    [
        ("08:10:30", "7", True),  # [08:10 ---- 08:11) is the window that it is in
        ("08:05:00", "0", True),  # no line
        ("09:05:00", "9", False),  # after the range
        ("03:05:00", "9", False),
    ],
)
async def test_a_time_in_the_url_is_a_window_of_the_range(
    stage: Stage, at: str, requests: str, is_chosen: bool
) -> None:
    """Or nothing is chosen; never the whole range's figures over a window's lists."""
    async with stage.page(f"?range=1h&size=60&at=2026-01-31T{at}Z") as opened:
        await expect(tile(opened, "requests")).to_have_text(requests)
        await expect(opened.locator("#clear")).to_have_count(int(is_chosen))


async def paths(opened: Page, *shown: str) -> None:
    """The numbers of the list of paths."""
    await expect(card(opened, "path").locator(".count")).to_have_text(list(shown))


async def test_a_longer_list_stays_as_the_range_moves_on(stage: Stage) -> None:
    """And is asked for again, as its overview is."""
    async with stage.page() as opened:
        await paths(opened, "9", "1")
        await opened.locator("#more-path").click()
        await paths(opened, "9", "2", "1")
        stage.reader.rows = [row(10, 7), row(11, 2), row(12, 4)]
        await paths(opened, "13", "2", "1")
        await opened.locator("#more-path").click()
        await paths(opened, "13", "1")


async def test_a_list_that_can_not_be_longer_says_so(stage: Stage) -> None:
    """Where its span has too many windows to unite."""
    stage.reader.report_error = UserError("too many windows")
    async with stage.page(provoked="400") as opened:
        await opened.locator("#more-path").click()
        await expect(card(opened, "path")).to_contain_text("That span is too long")
        await paths(opened, "9", "1")


async def test_a_partition_that_is_read_is_not_nobodys(stage: Stage) -> None:
    """Workers that share an address can't be told from each other; books that were just written have a worker."""
    stage.reader.books = [books(0, 1, datetime(2026, 1, 31, tzinfo=UTC)), books(1, 1, datetime.now(UTC))]
    async with stage.page() as opened:
        await expect(opened.locator("#ingest tbody td.text:nth-child(2)")).to_have_text(["nobody", "unknown"])


async def test_a_day_of_utc_is_not_taken_for_one_of_the_wall(stage: Stage) -> None:
    """West of Greenwich it begins on the evening before: the hour is told."""
    async with stage.page() as opened:
        await expect(tile(opened, "requests")).to_have_text("9")
        told = await opened.evaluate(
            "import('./assets/format.js').then((format) => ['UTC', 'America/Los_Angeles'].map((zone) => {"
            " format.configure('en', zone); return format.time(Date.UTC(2026, 0, 31), 86400); }))"
        )
        assert told == ["Sat, 31 Jan 2026", "Fri, 30 Jan 2026, 16:00"]
