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

START, END = datetime(2026, 1, 31, 8, tzinfo=UTC), datetime(2026, 1, 31, 9, tzinfo=UTC)
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
    console.print(as_table(rows, ZoneInfo("Europe/Berlin")))
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
    [_, row] = csv.reader(io.StringIO(as_csv(values(text)), newline=""))
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


def test_no_rows_are_no_text() -> None:
    """An empty report is empty in every form."""
    assert (as_csv([]), json.loads(as_json([]))) == ("", [])
