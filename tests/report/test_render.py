"""Reports as text: in 80 columns, with nothing in them that a terminal or a spreadsheet obeys."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from kpi_app.feeds.access import ACCESS
from kpi_app.report.render import as_csv, as_json, as_table
from kpi_app.report.unite import columns

START, END = datetime(2026, 1, 31, 8, tzinfo=UTC), datetime(2026, 1, 31, 9, tzinfo=UTC)
COLUMNS = ["from", "to", "dimension", "value", "requests", "requests_error", "bytes_sent", "errors"]
HOSTILE = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "[/bold]",
    "[link=x]y",
    "\x1b[2J",
    "\u202eabc",
    "a,b\n\"c'",
    "/" * 512,
]


def values(*texts: str) -> list[dict[str, Any]]:
    """Rows of a dimension."""
    return [
        {"from": START, "to": END, "dimension": "path", "value": text, "requests": 10**9 + n, "requests_error": 10**6}
        | {"bytes_sent": 10**15, "errors": 10**8}
        for n, text in enumerate(texts)
    ]


def printed(rows: list[dict[str, Any]], width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), markup=True)
    console.print(as_table(rows, ZoneInfo("Europe/Berlin"), width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_obeys_no_value(text: str) -> None:
    """No escape, no markup, no other direction of writing, one row each, whatever was stored."""
    out = printed(values(text, "/"))
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert len(out.splitlines()) == 3
    assert max(map(len, out.splitlines())) <= 80


def test_markup_is_shown_as_it_is() -> None:
    """A value is text."""
    assert "[/bold]" in printed(values("[/bold]"))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_spreadsheet_computes_no_value(text: str) -> None:
    """A cell that would be a formula begins with an apostrophe; all others are as they are."""
    [_, row] = csv.reader(io.StringIO(as_csv(values(text), COLUMNS), newline=""))
    cell = row[3]
    assert cell[0] not in "=+-@\t\r"
    assert cell.removeprefix("'") == text


def test_json_is_read_as_it_was() -> None:
    """Times in ISO 8601 with `Z`, numbers as numbers."""
    rows = json.loads(as_json(values(*HOSTILE)))
    assert [row["value"] for row in rows] == HOSTILE
    assert (rows[0]["from"], rows[0]["requests"]) == ("2026-01-31T08:00:00Z", 10**9)


def test_spans_fit_a_terminal_and_are_in_the_zone() -> None:
    """The KPIs of each span; request times only where there are any."""
    zeros = {measure.name: measure.aggregate.zero() for measure in ACCESS.measures}
    rows = [{"from": START, "to": END, **ACCESS.row(zeros, 3_600), "requests": 1_234_567, "bytes_sent": 10**12}]
    out = printed(rows)
    assert "2026-01-31 09:00" in out
    assert "1,234,567" in out
    assert max(map(len, out.splitlines())) <= 80


def test_no_rows_have_their_columns() -> None:
    """An empty report is empty in every form, but a CSV has its head."""
    assert as_csv([], columns(ACCESS, "path")) == ",".join(COLUMNS) + "\r\n"
    assert columns(ACCESS, None)[:3] == ["from", "to", "requests"]
    assert json.loads(as_json([])) == []


def test_csv_and_json_write_times_alike() -> None:
    """To the microsecond where there are any."""
    rows = [{"from": START, "to": END.replace(microsecond=5)}]
    [row] = csv.DictReader(io.StringIO(as_csv(rows, ["from", "to"])))
    assert [row] == json.loads(as_json(rows)) == [{"from": "2026-01-31T08:00:00Z", "to": "2026-01-31T09:00:00.000005Z"}]


SPANS = {
    "requests": 1_234_567,
    "unique_visitors": 765_432,
    "bot_requests": 345_678,
    "bytes_sent": 987_654_000_000,
    "status_4xx": 45_678,
    "status_5xx": 56_789,
    "peak_requests_per_second": 98_765,
    "request_time_p95": 1.234,
}


@pytest.mark.parametrize("width", range(26, 121))
def test_a_narrow_table_leaves_out_whole_columns_and_says_which(width: int) -> None:
    """A number that is there is there with all of its digits; dates, too."""
    out = printed([{"from": START, **SPANS}, {"from": END, **SPANS}], width)
    lines = out.splitlines()
    assert max(map(len, lines)) <= width
    head, cells = lines[0].split(), lines[1].split()
    assert cells[:3] == ["2026-01-31", "09:00", "1,234,567"]
    numbers = {"requests": "1,234,567", "visitors": "765,432", "bots": "345,678", "MB": "987,654", "4xx": "45,678"}
    numbers |= {"5xx": "56,789", "peak/s": "98,765", "p95": "1.234"}
    names = [name for name in head if name in numbers]
    assert cells[2 : 2 + len(names)] == [numbers[name] for name in names]
    gone = [name for name in numbers if name not in names]
    said = " ".join(out.split())
    assert ("no room for" in said) == bool(gone)
    assert all(name in said for name in gone)


@pytest.mark.parametrize("width", range(26, 121))
def test_a_narrow_list_keeps_its_numbers(width: int) -> None:
    """Bars are cut first, then the values, then columns."""
    out = printed(values("/" + "a" * 30, "/b"), width)
    assert max(map(len, out.splitlines())) <= width
    assert "1,000M" in out.splitlines()[1]
    assert "…" in out or "a" * 30 in out


def test_a_list_has_no_column_and_no_line_for_nothing() -> None:
    """No ± where all is exact, no (other) where there are none."""
    rows = [{**row, "requests_error": 0} for row in values("/")]
    other = {**rows[0], "value": "(other)", "requests": 0, "bytes_sent": 0, "errors": 0}
    out = printed([*rows, other])
    assert "±" in printed(values("/"))
    assert "±" not in out
    assert "(other)" not in out
    assert "(other)" in printed([*rows, {**other, "requests": 1}])
