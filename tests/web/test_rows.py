"""Rows as JSON: which ones, in which form, and what is refused."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from kpi_app.feeds.access import ACCESS
from kpi_app.sinks.migrate import migrate
from kpi_app.web.reader import PostgresReader
from kpi_app.web.rows import MOST_ROWS
from tests.web.conftest import Site

START = datetime(2023, 11, 14, 22, 0, tzinfo=UTC)


def rows(count: int) -> list[dict[str, Any]]:
    return [{"window_start": START + timedelta(minutes=i), "requests": i} for i in range(count)]


async def test_parameters_reach_the_reader_as_values(site: Site) -> None:
    """Size and limit as numbers, times in UTC, whatever zone they were told in."""
    query = "size=3600&from=2023-11-15T01:00:00%2B02:00&to=2023-11-14T23:30:00Z&limit=5"
    told = await site.json(f"/kpi/windows?{query}")
    asked = (3_600, datetime(2023, 11, 14, 23, 0, tzinfo=UTC), datetime(2023, 11, 14, 23, 30, tzinfo=UTC), 6)
    assert site.reader.asked == [asked]
    assert told == {
        "size": 3_600,
        "from": "2023-11-14T23:00:00Z",
        "to": "2023-11-14T23:30:00Z",
        "limit": 5,
        "more": False,
        "windows": [],
    }


async def test_a_plus_sign_that_was_not_quoted_is_understood(site: Site) -> None:
    """In a query `+` means a space: `from=…+02:00` comes as `… 02:00`, and can mean one thing only."""
    told = await site.json("/kpi/windows?from=2023-11-15T01:00:00+02:00")
    assert told["from"] == "2023-11-14T23:00:00Z"


async def test_the_base_size_is_the_default(site: Site) -> None:
    """Without a size, the smallest windows that there are."""
    assert (await site.json("/kpi/windows"))["size"] == 60


async def test_more_says_that_there_are_older_rows(site: Site) -> None:
    """The latest `limit` rows, oldest first; the rest can be asked for with `to`."""
    site.reader.rows = rows(3)
    told = await site.json("/kpi/windows?limit=2")
    assert [row["requests"] for row in told["windows"]] == [1, 2]
    assert told["more"] is True
    assert (await site.json("/kpi/windows?limit=3"))["more"] is False


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("size=61", "size='61' is not one of: 60, 3600"),
        ("size=060", "size='060' is not one of: 60, 3600"),
        ("size=", "size='' is not one of: 60, 3600"),
        ("limit=0", f"limit='0' is not a whole number from 1 to {MOST_ROWS}"),
        ("limit=-1", f"limit='-1' is not a whole number from 1 to {MOST_ROWS}"),
        ("limit=10001", f"limit='10001' is not a whole number from 1 to {MOST_ROWS}"),
        ("limit=%D9%A1", f"limit='\\u0661' is not a whole number from 1 to {MOST_ROWS}"),
        ("from=yesterday", "from='yesterday' is not an ISO 8601 time with its zone, such as 2026-01-31T08:00:00Z"),
        ("from=2023-11-14T22:00", "from='2023-11-14T22:00' is not an ISO 8601 time with its zone, such as "),
        ("to=2023-11-14", "to='2023-11-14' is not an ISO 8601 time with its zone, such as 2026-01-31T08:00:00Z"),
        ("to=0001-01-01T00:00:00%2B14:00", "to='0001-01-01T00:00:00+14:00' is not an ISO 8601 time"),
        ("form=2023-11-14T22:00:00Z", "unknown parameter 'form'; there are: size, from, to, limit"),
        ("size=60&size=60", "parameter size is there more than once"),
    ],
)
async def test_what_is_wrong_is_said_in_a_line(site: Site, query: str, reason: str) -> None:
    """The parameter, its value, and what would be right."""
    answer = await site.get(f"/kpi/windows?{query}")
    assert answer.status == 400
    assert (await answer.json())["error"].startswith(reason)
    assert site.reader.asked == []


#: The names of a row's columns.
COLUMNS = "SELECT array_agg(column_name::text) FROM information_schema.columns WHERE table_name = 'access_kpi'"


@pytest.fixture
async def stored(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A migrated database with a row a minute, for three of them."""
    await migrate(database)
    connection = await asyncpg.connect(database)
    await connection.executemany(
        "INSERT INTO access_kpi (window_start, window_seconds, requests, requests_per_second,"
        " peak_requests_per_second, bytes_sent, status_1xx, status_2xx, status_3xx, status_4xx, status_5xx,"
        " status_other, late_requests, closed) VALUES ($1, 60, $2, 0.5, 3, 10, 0, $2, 0, 0, 0, 0, 0, true)",
        [(row["window_start"], row["requests"]) for row in rows(3)],
    )
    yield connection
    await connection.close()


async def test_rows_of_postgres_come_out_as_numbers_and_times(
    site: Site, database: str, stored: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`[from, to)`: a window that starts at `to` belongs to the next question."""
    postgres = PostgresReader(database, ACCESS, "access-log", 60, ZoneInfo("UTC"))
    monkeypatch.setattr(site.reader, "windows", postgres.windows)
    told = await site.json("/kpi/windows?from=2023-11-14T22:01:00Z&to=2023-11-14T22:02:00Z")
    await postgres.close()
    [row] = told["windows"]
    assert row["window_start"] == "2023-11-14T22:01:00Z"
    assert row["requests"] == 1
    assert row["requests_per_second"] == 0.5
    assert row["closed"] is True
    assert row["first_event"] is None
    assert "sketches" in await stored.fetchval(COLUMNS)
    assert "sketches" not in row  # bytes, for other programs


async def test_the_reader_pings_what_it_reads(database: str) -> None:
    """A Postgres that was not migrated can't serve rows, and says so."""
    reader = PostgresReader(database, ACCESS, "access-log", 60, ZoneInfo("UTC"))
    with pytest.raises(Exception, match="run `kpi migrate`"):
        await reader.ping()
    await migrate(database)
    await reader.ping()
    await reader.close()
