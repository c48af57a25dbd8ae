"""Reports and top lists as JSON: what reaches the reader, and what is refused."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from kpi_app.errors import UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.report.ask import Wish
from kpi_app.sinks.migrate import migrate
from kpi_app.sinks.postgres import PostgresSink
from kpi_app.web.reader import MOST_SPANS, PostgresReader
from tests.sinks.owner import TOPIC, Owner
from tests.sinks.store import AT_ONCE, settle
from tests.web.conftest import Site

START = datetime(2026, 1, 31, 8, tzinfo=UTC)


async def test_a_report_asks_for_what_was_wished(site: Site) -> None:
    """Times in UTC, the rest as it is."""
    site.reader.rows = [{"from": START, "requests": 7}]
    told = await site.json("/kpi/report?from=2026-01-31T10:00:00%2B02:00&window=1h&by=path&top=5")
    assert site.reader.asked == [Wish("2026-01-31T08:00:00+00:00", None, "1h", "path", 5)]
    assert told["rows"] == [{"from": "2026-01-31T08:00:00Z", "requests": 7}]


async def test_a_report_takes_dates(site: Site) -> None:
    """As the command does, in the zone of the settings: they reach the reader as they are."""
    site.reader.rows = []
    await site.json("/kpi/report?from=2026-01-31&to=2026-02-01T08:00")
    assert site.reader.asked == [Wish("2026-01-31", "2026-02-01T08:00")]


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
        ("/kpi/report?from=yesterday", "from='yesterday'"),
        ("/kpi/report?to=9999-12-31T23:59:59-01:00", "to='9999-12-31T23:59:59-01:00'"),
        ("/kpi/top?dimension=path&window_start=2026-01-31", "window_start='2026-01-31'"),
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
    sink = PostgresSink(database, ACCESS, topic=TOPIC, window_s=60, grace_s=60, pace=AT_ONCE)
    await sink.open()
    await sink.flush(Owner().read(*range(0, 60 * (MOST_SPANS + 1), 60)).checkpoint())
    await settle(sink)
    await sink.close()
    reader = PostgresReader(database, ACCESS, TOPIC, 60, ZoneInfo("Europe/Berlin"))
    wish = Wish("2023-11-01", "2023-12-01", "1m")
    try:
        with pytest.raises(UserError, match="more than"):
            await reader.report(wish)
        [row] = await reader.report(wish._replace(window="1w", start="2023-11-14"))
        assert (row["from"], row["requests"]) == (datetime(2023, 11, 13, 23, tzinfo=UTC), MOST_SPANS + 1)
        assert await reader.report(wish._replace(start="2022-11-01", end="2022-12-01", by="path")) == []
        assert await reader.top(60, START, "path") == []
    finally:
        await reader.close()
