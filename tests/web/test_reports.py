"""Reports and top lists as JSON: what reaches the reader, and what is refused."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from kpi_app.errors import UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.report.ask import Wish
from kpi_app.sinks.migrate import migrate
from kpi_app.web.reader import MOST_SPANS, PostgresReader
from tests.web.conftest import Site

START = datetime(2026, 1, 31, 8, tzinfo=UTC)


async def test_a_report_asks_for_what_was_wished(site: Site) -> None:
    """Times in UTC, the rest as it is."""
    site.reader.rows = [{"from": START, "requests": 7}]
    told = await site.json("/kpi/report?from=2026-01-31T10:00:00%2B02:00&window=1h&by=path&top=5")
    assert site.reader.asked == [Wish("2026-01-31T08:00:00+00:00", None, "1h", "path", 5)]
    assert told["rows"] == [{"from": "2026-01-31T08:00:00Z", "requests": 7}]


async def test_a_top_list_asks_for_its_window(site: Site) -> None:
    """The base size where none is named."""
    site.reader.rows = [{"value": "<script>", "requests": 7}]
    told = await site.json("/kpi/top?dimension=path&window_start=2026-01-31T08:00:00Z")
    assert site.reader.asked == [(60, START, "path")]
    assert told == {
        "dimension": "path",
        "window_start": "2026-01-31T08:00:00Z",
        "size": 60,
        "values": [{"value": "<script>", "requests": 7}],
    }


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/kpi/top?window_start=2026-01-31T08:00:00Z", "one of: status, method"),
        ("/kpi/top?dimension=colour&window_start=2026-01-31T08:00:00Z", "one of: status, method"),
        ("/kpi/top?dimension=path", "window_start is missing"),
        ("/kpi/top?dimension=path&window_start=2026-01-31T08:00:00Z&size=61", "size='61'"),
        ("/kpi/report?by=colour", "one of: status, method"),
        ("/kpi/report?top=0", "top='0'"),
        ("/kpi/report?from=2026-01-31", "from='2026-01-31'"),
        ("/kpi/report?span=1h", "unknown parameter 'span'"),
    ],
)
async def test_a_wrong_question_is_answered_by_what_is_right(site: Site, path: str, why: str) -> None:
    """400 and one line."""
    answer = await site.get(path)
    assert answer.status == 400
    assert why in (await answer.json())["error"]


async def test_a_report_that_can_not_be_made_is_the_askers_mistake(site: Site) -> None:
    """What `kpi report` says in one line, the page says in one."""
    site.reader.error = UserError("90s is not a multiple")
    answer = await site.get("/kpi/report?window=90s")
    assert (answer.status, (await answer.json())["error"]) == (400, "90s is not a multiple")


async def test_a_worker_makes_no_endless_report(database: str) -> None:
    """It has other work; the command makes them."""
    await migrate(database)
    reader = PostgresReader(database, ACCESS, "access-log", 60, ZoneInfo("UTC"))
    wish = Wish("2026-01-01", "2026-01-02", "1m")
    try:
        assert MOST_SPANS < 24 * 60
        with pytest.raises(UserError, match="more than"):
            await reader.report(wish)
        assert await reader.report(wish._replace(window="1h", by="path")) == []
        assert await reader.top(60, START, "path") == []
    finally:
        await reader.close()
