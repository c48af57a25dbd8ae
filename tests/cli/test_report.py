"""`kpi report`: one command line, three forms, and one line when something is wrong."""

import csv
import io
import json
from pathlib import Path

import pytest

from kpi_app.feeds.access import ACCESS
from kpi_app.sinks.postgres import PostgresSink
from tests.cli.programs import kpi, run
from tests.sinks.owner import RULES, TOPIC, Owner
from tests.sinks.store import AT_ONCE, at, settle


@pytest.fixture
async def stored(settings: dict[str, str]) -> dict[str, str]:
    """Settings that lead to a database with three lines in it."""
    sizes = {"window_s": RULES.window_s, "grace_s": RULES.grace_s, "larger_s": (3_600, 86_400)}
    sink = PostgresSink(settings["KPI_DATABASE_URL"], ACCESS, topic=TOPIC, pace=AT_ONCE, **sizes)  # type: ignore[arg-type]
    await sink.open()
    await sink.flush(Owner().read(1, 2, 70).checkpoint())
    await settle(sink)
    await sink.close()
    return settings


async def test_a_report_in_each_form(stored: dict[str, str], tmp_path: Path) -> None:
    """The same numbers as a table, as CSV and as JSON."""
    table = run(kpi("report", "--window", "1m"), tmp_path, stored)
    assert table.code == 0
    assert [line.split()[2:4] for line in table.out.splitlines()[1:3]] == [["2", "2"], ["1", "1"]]
    rows = json.loads(run(kpi("report", "--format", "json"), tmp_path, stored).out)
    assert [row["requests"] for row in rows] == [3]
    by_path = run(kpi("report", "--by", "path", "--top", "1", "--format", "csv"), tmp_path, stored).out
    assert [(row["value"], row["requests"]) for row in csv.DictReader(io.StringIO(by_path))] == [
        ("/0", "1"),
        ("(other)", "2"),
    ]


async def test_a_wrong_question_is_one_line(stored: dict[str, str], tmp_path: Path) -> None:
    """With what would be right, and exit code 1."""
    for options, why in (
        (["--by", "colour"], "one of status"),
        (["--from", "now"], "2026-01-31"),
        (["--window", "1"], "30s, 1m"),
    ):
        done = run(kpi("report", *options), tmp_path, stored)
        assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1), done
        assert why in done.err


async def test_a_wrong_dimension_needs_no_database(tmp_path: Path) -> None:
    """It is known before anything is asked."""
    away = {"KPI_DATABASE_URL": "postgresql://kpi@127.0.0.1:1/kpi"}
    done = run(kpi("report", "--by", "pathh"), tmp_path, away)
    assert (done.code, "unknown dimension 'pathh'" in done.err) == (1, True), done


async def test_lines_without_a_dimension_are_not_no_lines(stored: dict[str, str], tmp_path: Path) -> None:
    """It says what they lack, and what would help."""
    done = run(kpi("report", "--by", "host"), tmp_path, stored)
    assert done.out == "the lines of that span have no host: add host=$host to nginx's log_format\n"
    span = ["--from", "1999-01-01", "--to", "1999-01-02"]
    assert "no lines" in run(kpi("report", "--by", "host", *span), tmp_path, stored).out
    header = run(kpi("report", "--by", "host", "--format", "csv"), tmp_path, stored).out
    assert header.startswith("from,to,dimension,value,requests")


async def test_a_table_in_a_pipe_ends_its_lines_where_they_end(stored: dict[str, str], tmp_path: Path) -> None:
    """Bars are of different lengths; no blanks make up for it."""
    out = run(kpi("report", "--window", "1m"), tmp_path, stored).out
    assert [line for line in out.splitlines() if line != line.rstrip()] == []


async def test_times_within_a_window_are_told_what_is_counted(stored: dict[str, str], tmp_path: Path) -> None:
    """A window is whole: beside the report it says from when to when it is."""
    start, end = at(30).isoformat(), at(60).isoformat()
    done = run(kpi("report", "--from", start, "--to", end, "--format", "json"), tmp_path, stored)
    assert done.err == "whole windows are counted: 2023-11-14 22:14:00 to 2023-11-14 22:15:00, UTC\n"
    assert [row["requests"] for row in json.loads(done.out)] == [2]
    assert run(kpi("report", "--from", at(0).isoformat(), "--to", end), tmp_path, stored).err == ""


async def test_a_span_without_lines_says_so(stored: dict[str, str], tmp_path: Path) -> None:
    """In words for people; as no rows for programs."""
    span = ["--from", "1999-01-01", "--to", "1999-01-02"]
    assert "no lines" in run(kpi("report", *span), tmp_path, stored).out
    assert json.loads(run(kpi("report", *span, "--format", "json"), tmp_path, stored).out) == []
