"""The KPI table that the demo prints: the base rows, united to at most `ROWS` spans of time."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.table import Table

from kpi_app.core.windows import format_duration
from kpi_app.sinks import queries
from kpi_app.sinks.connect import Database

#: Rows of the table, so that it fits a screen with what is said around it.
ROWS = 16

_SPANS_S = (60, 300, 900, 3_600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000)
_SQL = queries.load("summary")


async def totals(database: Database, topic: str, base_s: int) -> dict[str, Any]:
    """Lines by what became of them, and the first and last event."""
    async with database.session() as session:
        [row] = await session.fetch(_SQL["totals"], topic, base_s)
    return dict(row)


async def spans(database: Database, base_s: int, first: datetime, last: datetime) -> tuple[int, list[dict[str, Any]]]:
    """The rows of the table and the seconds that each one spans."""
    length_s = (last - first).total_seconds()
    span_s = next((s for s in _SPANS_S if s >= base_s and length_s / s < ROWS - 1), _SPANS_S[-1])
    async with database.session() as session:
        return span_s, [dict(row) for row in await session.fetch(_SQL["spans"], base_s, span_s)]


def table(span_s: int, rows: list[dict[str, Any]]) -> Table:
    """As it is printed; fits 80 columns."""
    drawn = Table(
        f"UTC, by {format_duration(span_s)}",
        *("requests", "mean/s", "peak/s", "MB", "2xx", "3xx", "4xx", "5xx", "late"),
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style="bold",
    )
    for column in drawn.columns[1:]:
        column.justify = "right"
    for row in rows:
        drawn.add_row(
            f"{row['span_start']:%Y-%m-%d %H:%M}",
            _short(row["requests"]),
            f"{row['requests'] / span_s:.2f}",
            str(row["peak"]),
            f"{row['bytes_sent'] / 1e6:,.{0 if row['bytes_sent'] >= 1e9 else 1}f}",
            *(_short(row[f"status_{c}xx"]) for c in (2, 3, 4, 5)),
            _short(row["late_requests"]),
        )
    return drawn


def _short(count: int) -> str:
    return f"{count:,}" if count < 1_000_000 else f"{count / 1_000:,.0f}k"


def balance(total: dict[str, Any], base_s: int) -> Iterator[str]:
    """What became of every line, in two lines of text."""
    parts = {
        "rejected": total["rejected"],
        "dropped as too late": total["late_dropped"],
        "sent twice": total["duplicates"],
    }
    others = "".join(f" + {count:,} {name}" for name, count in parts.items() if count or name == "rejected")
    yield f"{total['lines']:,} lines = {total['counted']:,} counted{others}"
    windows = f"{total['windows']:,} windows of {format_duration(base_s)}"
    yield f"{windows} in Postgres; unaccounted for: {total['unaccounted']:,}"
