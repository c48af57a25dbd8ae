"""A report as a table with bars for the terminal, as CSV, or as JSON."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from rich.table import Table
from rich.text import Text

from kpi_app.core.tops import OTHER
from kpi_app.feeds.values import printable

Rows = Sequence[Mapping[str, Any]]

#: What spreadsheets take for a formula at the start of a cell (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_BAR = "▏▎▍▌▋▊▉█"
_BAR_WIDTH = 12

#: Characters of a value that a table of 80 columns shows.
VALUE_WIDTH = 36


def as_json(rows: Rows) -> str:
    """A list of objects, times in ISO 8601."""
    return orjson.dumps([*map(dict, rows)], option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode()


def as_csv(rows: Rows) -> str:
    """A line a row under the columns' names (RFC 4180); no cell that a spreadsheet would compute."""
    text = io.StringIO()
    if rows:
        writer = csv.writer(text)
        writer.writerow(rows[0])
        writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def as_table(rows: Rows, zone: ZoneInfo, value_width: int = VALUE_WIDTH) -> Table:
    """For people, in 80 columns: a bar shows each row's share of the greatest. Of a value `value_width` are shown."""
    return _values(rows, zone, value_width) if rows and "dimension" in rows[0] else _spans(rows, zone)


def _table(*columns: str) -> Table:
    drawn = Table(*columns, box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for column in drawn.columns[1:-1]:
        column.justify = "right"
    for column in drawn.columns:
        column.no_wrap = True
    return drawn


def _spans(rows: Rows, zone: ZoneInfo) -> Table:
    drawn = _table("from", "requests", "visitors", "bots", "MB", "4xx", "5xx", "peak/s", "p95 s", "")
    most = max((row["requests"] for row in rows), default=0)
    for row in rows:
        p95 = row["request_time_p95"]
        drawn.add_row(
            f"{row['from'].astimezone(zone):%Y-%m-%d %H:%M}",
            *(_short(row[name]) for name in ("requests", "unique_visitors", "bot_requests")),
            _megabytes(row["bytes_sent"]),
            *(_short(row[name]) for name in ("status_4xx", "status_5xx", "peak_requests_per_second")),
            "" if p95 is None else f"{p95:.3f}",
            _bar(row["requests"], most),
        )
    drawn.caption = f"times in {zone}"
    return _bars_give_way(drawn)


def _values(rows: Rows, zone: ZoneInfo, value_width: int) -> Table:
    drawn = _table(rows[0]["dimension"], "requests", "±", "%", "MB", "errors", "")
    totals = Counter[datetime]()
    for row in rows:
        totals[row["from"]] += row["requests"]
    # the rest is of many values: it would make each one's bar too short to see
    most, last = max((row["requests"] for row in rows if row["value"] != OTHER), default=0), None
    for row in rows:
        if len(totals) > 1 and row["from"] != last:  # a line above the values of each span
            last = row["from"]
            drawn.add_row(Text(f"{last.astimezone(zone):%Y-%m-%d %H:%M}", "bold"))
        value = printable(row["value"])
        drawn.add_row(
            # Text: what a stranger wrote is no markup of ours
            Text(value if len(value) <= value_width else value[: value_width - 1] + "…"),
            _short(row["requests"]),
            _short(row["requests_error"]) if row["requests_error"] else "",
            f"{100 * row['requests'] / (totals[row['from']] or 1):.1f}",
            _megabytes(row["bytes_sent"]),
            _short(row["errors"]),
            "" if row["value"] == OTHER else _bar(row["requests"], most),
        )
    return _bars_give_way(drawn)


def _bars_give_way(drawn: Table) -> Table:
    """Where it gets narrow, the bars are cut first, then the names, but no number."""
    for column in drawn.columns[1:-1]:
        column.min_width = max(map(len, (str(column.header), *map(str, column.cells))))
    drawn.columns[-1].overflow = "crop"
    return drawn


def _short(count: int) -> str:
    return f"{count:,}" if count < 10_000_000 else f"{count / 1e6:,.0f}M"


def _megabytes(size: int) -> str:
    if size >= 1e12:
        return f"{size / 1e12:,.1f}T"
    return f"{size / 1e6:,.{0 if size >= 1e9 else 1}f}"


def _bar(count: int, most: int) -> str:
    eighths = round(8 * _BAR_WIDTH * count / most) if most else 0
    return _BAR[-1] * (eighths // 8) + (_BAR[eighths % 8 - 1] if eighths % 8 else "")
