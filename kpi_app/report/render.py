"""A report as a table with bars for the terminal, as CSV, or as JSON."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from rich.table import Table
from rich.text import Text

from kpi_app.core.tops import OTHER
from kpi_app.feeds.values import printable
from kpi_app.report.draw import Line, Shape, draw

Rows = Sequence[Mapping[str, Any]]

#: What spreadsheets take for a formula at the start of a cell (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

#: Characters of a value that are shown in any case, and at most in 80 columns.
_LEAST_VALUE, _MOST_VALUE = 12, 36

_SPANS = Shape(
    ("from", "requests", "visitors", "bots", "MB", "4xx", "5xx", "peak/s", "p95 s"),
    give_way=("peak/s", "bots", "MB", "p95 s", "visitors", "4xx", "5xx"),
)


def as_json(rows: Rows) -> str:
    """A list of objects, times in ISO 8601."""
    return orjson.dumps([*map(dict, rows)], option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode()


def as_csv(rows: Rows, columns: Sequence[str]) -> str:
    """A line a row under the columns' names (RFC 4180), times as in JSON; no cell that a spreadsheet would compute."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def as_table(rows: Rows, zone: ZoneInfo, width: int = 80) -> Table:
    """For people, with a bar for each row's share of the greatest. What has no room is named below."""
    is_list = bool(rows) and "dimension" in rows[0]
    drawn, left_out = (_values if is_list else _spans)(rows, zone, width)
    notes = [] if is_list else [f"times in {zone}"]
    notes += [f"no room for {', '.join(left_out)}"] if left_out else []
    drawn.caption = "; ".join(notes) or None
    return drawn


def _spans(rows: Rows, zone: ZoneInfo, width: int) -> tuple[Table, list[str]]:
    lines = []
    for row in rows:
        p95 = row["request_time_p95"]
        numbers = (
            *(_short(row[name]) for name in ("requests", "unique_visitors", "bot_requests")),
            _megabytes(row["bytes_sent"]),
            *(_short(row[name]) for name in ("status_4xx", "status_5xx", "peak_requests_per_second")),
            "" if p95 is None else f"{p95:.3f}",
        )
        lines.append(Line(Text(_minute(row["from"], zone)), numbers, row["requests"]))
    return draw(_SPANS, lines, width)


def _values(rows: Rows, zone: ZoneInfo, width: int) -> tuple[Table, list[str]]:
    most = max(_MOST_VALUE, width - 80 + _MOST_VALUE)
    inexact = any(row["requests_error"] for row in rows)
    totals = Counter[datetime]()
    for row in rows:
        totals[row["from"]] += row["requests"]
    lines, last = list[Line](), None
    for row in rows:
        if row["value"] == OTHER and not row["requests"]:
            continue
        if len(totals) > 1 and row["from"] != last:  # a line above the values of each span
            last = row["from"]
            lines.append(Line(Text(_minute(last, zone), "bold")))
        value = printable(row["value"])
        # Text: what a stranger wrote is no markup of ours
        name = Text(value if len(value) <= most else value[: most - 1] + "…")
        numbers = (
            _short(row["requests"]),
            *([_short(row["requests_error"]) if row["requests_error"] else ""] if inexact else []),
            f"{100 * row['requests'] / (totals[row['from']] or 1):.1f}",
            _megabytes(row["bytes_sent"]),
            _short(row["errors"]),
        )
        # the rest is of many values: it would make each one's bar too short to see
        lines.append(Line(name, numbers, 0 if row["value"] == OTHER else row["requests"]))
    headings = (rows[0]["dimension"], "requests", *(["±"] if inexact else []), "%", "MB", "errors")
    return draw(Shape(headings, ("MB", "%", "errors", "±"), _LEAST_VALUE), lines, width)


def _minute(time: datetime, zone: ZoneInfo) -> str:
    return f"{time.astimezone(zone):%Y-%m-%d %H:%M}"


def _short(count: int) -> str:
    return f"{count:,}" if count < 10_000_000 else f"{count / 1e6:,.0f}M"


def _megabytes(size: int) -> str:
    if size >= 1e12:
        return f"{size / 1e12:,.1f}T"
    return f"{size / 1e6:,.{0 if size >= 1e9 else 1}f}"
