"""Rows of Postgres against a recount of the log, for a topic with one partition."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from tests.conftest import connected
from tests.recount import Recount

_COLUMNS = (
    *("requests", "bytes_sent", "late_requests", "peak_requests_per_second", "first_event", "last_event"),
    *(f"status_{name}" for name in ("1xx", "2xx", "3xx", "4xx", "5xx", "other")),
)


async def rows(dsn: str) -> dict[datetime, tuple[Any, ...]]:
    """What is stored of the base windows, by start."""
    async with connected(dsn) as connection:
        found = await connection.fetch("SELECT * FROM access_kpi WHERE window_seconds = 60")
    return {row["window_start"]: tuple(row[column] for column in _COLUMNS) for row in found}


def expected(truth: Recount) -> dict[datetime, tuple[Any, ...]]:
    """What should be."""
    return {
        datetime.fromtimestamp(start, UTC): (
            *(window.requests, window.bytes_sent, window.late, window.peak_per_second),
            *(window.first_event, window.last_event),
            *(window.status[name] for name in _COLUMNS[6:]),
        )
        for start, window in truth.windows.items()
    }


async def unaccounted(dsn: str) -> int:
    """What `conservation` says is missing or too much in segments and base rows; larger ones have a minute's time."""
    sql = (
        "SELECT coalesce(sum(abs(difference)), 0) FROM conservation"
        " WHERE window_seconds IS NULL OR window_seconds = (SELECT windows[1] FROM kpi_feed)"
    )
    async with connected(dsn) as connection:
        return int(await connection.fetchval(sql))


async def books(dsn: str, topic: str) -> tuple[int, int]:
    """Lines read of a topic, and marks of windows that are to be merged by now."""
    async with connected(dsn) as connection:
        lines = await connection.fetchval(
            "SELECT coalesce(sum(lines), 0)::bigint FROM ingest_ledger WHERE topic = $1", topic
        )
        return lines, await connection.fetchval("SELECT count(*) FROM dirty_window WHERE due_at <= now()")


def spans(out: str) -> Iterable[list[str]]:
    """The rows of the demo's table as it was printed: date, time, requests, and so on."""
    for line in out.splitlines():
        words = line.split()
        if len(words) == 11 and words[0][:2] == "20":
            yield words
