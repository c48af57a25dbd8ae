"""A frame fits every terminal, says what the look says, and lets no stranger's word do anything."""

import io
import re
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from kpi_app.demo.terminal import console
from kpi_app.feeds.access import ACCESS
from kpi_app.top.frame import Shown, Size, frame
from kpi_app.top.look import Look
from tests.sinks.store import at

ZONE = ZoneInfo("UTC")
STATUS = [f"status_{name}" for name in ("1xx", "2xx", "3xx", "4xx", "5xx", "other")]


def row(minute: int, requests: int = 60, **changes: Any) -> dict[str, Any]:
    """A window of a minute."""
    zero = ACCESS.row({measure.name: measure.aggregate.zero() for measure in ACCESS.measures}, 60)
    counted = {"window_start": at(60 * minute), "requests": requests, "status_2xx": requests, "bytes_sent": 1_000_000}
    return zero | counted | {"peak_requests_per_second": 7} | changes


def books(partition: int = 0, **changes: Any) -> dict[str, Any]:
    """Those of a partition that is in order."""
    counts = {"lines": 101, "counted": 100, "rejected": 1, "late_dropped": 0, "duplicates": 0, "lost_offsets": 0}
    state = {"partition": partition, "next_offset": 101, "watermark": at(3_597), "idle": False, "lag": 0}
    return counts | state | changes


def value(name: str, requests: int) -> dict[str, Any]:
    """A row of a top list."""
    return {"value": name, "requests": requests, "requests_error": 0, "bytes_sent": 10, "errors": 0}


def look(**changes: Any) -> Look:
    """An hour by the minute, to the minute; 60 requests in each."""
    tops = {"path": [value(f"/{n}", 300 - n) for n in range(12)] + [value("(other)", 66)]}
    seen: dict[str, Any] = {
        "at": at(3_600),
        "start": at(0),
        "end": at(3_600),
        "follows": "now",
        "size_s": 60,
        "rows": [row(minute) for minute in range(60)],
        "overview": row(0) | {"unique_visitors": 1_234, "tops": tops},
        "books": [books(), books(1)],
    }
    return Look(**seen | changes)


def drawn(
    seen: Look, width: int = 80, height: int = 24, by: str = "path", topic: str = "access-log", **more: Any
) -> str:
    """A frame as a terminal without colours has it."""
    out = console()
    out.file, out.width, out.legacy_windows = io.StringIO(), width, False
    out.print(frame(seen, Shown(topic, by, ZONE), Size(width, height), **more))
    return out.file.getvalue()


def test_a_frame_says_what_was_seen() -> None:
    """Load, classes, visitors, the list and the books, in 80 columns and 24 lines."""
    said = drawn(look())
    for words in (
        "access-log  1h by 1m",
        "load 1.00/s now   1.00/s mean   7.00/s peak   3,600 requests",
        "2xx         3,600  100.0 %",
        "5xx             0    0.0 %",
        "visitors 1,234",
        "sent 60.0 MB",
        "lag 0 lines, 3 s",
        "read 202",
        "rejected 2 (0.99 %)",
        "unaccounted for 0",
        "path ",
    ):
        assert words in said, said
    assert "lost" not in said
    assert "time " not in said  # the log has none
    assert len(said.splitlines()) == 24


def test_request_times_are_there_where_the_log_has_them() -> None:
    """All of the percentiles."""
    times = {f"request_time_{name}": 0.1 * n for n, name in enumerate(("p50", "p90", "p95", "p99", "max"), 1)}
    overview = {**(look().overview or {}), **times}
    assert "time   p50 100 ms   p90 200 ms   p95 300 ms   p99 400 ms   max 500 ms" in drawn(look(overview=overview))


def test_a_list_sums_up_however_short_it_is() -> None:
    """What has no line of its own is in the line of the others."""
    requests = sum(each["requests"] for each in (look().overview or {})["tops"]["path"])
    lengths = []
    for height in range(18, 40):
        listed = re.findall(r"^(?:/\d+|\(other\)) +([\d,]+) ", drawn(look(), height=height), re.MULTILINE)
        assert sum(int(number.replace(",", "")) for number in listed) == requests
        lengths.append(len(listed))
    assert (min(lengths), max(lengths)) == (3, 13)


@given(st.integers(1, 300), st.integers(1, 90), st.booleans(), st.sampled_from(["now", "last"]))
def test_a_frame_fits_any_terminal(width: int, height: int, full: bool, follows: str) -> None:
    """Never a line more, and never a column."""
    times = dict.fromkeys((f"request_time_{name}" for name in ("p50", "p90", "p95", "p99", "max")), 0.123456)
    names = [value("/" + "漢字" * 90, 9), value("/" + "x" * 500, 8)]
    overview = {**(look().overview or {}), **times, "tops": {"path": names * 5}}
    seen = look(overview=overview, follows=follows) if full else look(overview=None, rows=[], books=[])
    lines = drawn(seen, width, height, trouble="away\n" * 9 if full else None).splitlines()
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width


def test_a_low_terminal_keeps_figures_and_values_and_lets_the_chart_go() -> None:
    """Then the classes; the load and the books stay."""
    assert "▁" not in drawn(look(), height=15)
    assert drawn(look(), height=24).count("█") > drawn(look(), height=15).count("█")
    for height in range(5, 24):
        said = drawn(look(), height=height)
        assert "load 1.00/s now" in said
        assert "unaccounted for 0" in said


def test_a_wide_terminal_shows_more_of_a_value() -> None:
    """As wide as it is."""
    overview = {**(look().overview or {}), "tops": {"path": [value("/" + "x" * 100, 9)]}}
    assert "x" * 35 + " " not in drawn(look(overview=overview))
    assert "x" * 100 in drawn(look(overview=overview), width=160)


@pytest.mark.parametrize("name", ["\x1b[2J\x1b[H", "\r\n\n", "\x9b2J", "\u202eabc", "[bold]x[/bold]", "[/]", ":smile:"])
def test_hostile_values_are_text(name: str) -> None:
    """No control code, no turn of the writing, no markup, no emoji; wherever they are."""
    overview = {**(look().overview or {}), "tops": {"path": [value(name, 9)]}}
    said = drawn(look(overview=overview), topic=name, trouble=name)
    assert said.replace("\n", "").isprintable()
    assert said.count("".join(c if c.isprintable() else "\ufffd" for c in name)) == 3


@given(st.text(max_size=60))
def test_any_value_is_text(name: str) -> None:
    """Whatever it is."""
    overview = {**(look().overview or {}), "tops": {"path": [value(name, 9)]}}
    said = drawn(look(overview=overview))
    assert said.replace("\n", "").isprintable()
    assert len(said.splitlines()) <= 24


def test_lag_is_of_those_that_move() -> None:
    """Seconds are of the partition that is furthest behind, idle ones aside; lines of all of them."""
    behind = [books(lag=1_000), books(1, lag=5, watermark=at(3_000)), books(2, idle=True, watermark=at(0))]
    assert "lag 1,005 lines, 10 min" in drawn(look(books=behind))
    assert "lag 0 lines, idle" in drawn(look(books=[books(idle=True)]))
    assert "lag – lines, 3 s" in drawn(look(books=[books(lag=None), books(1)]))


def test_what_is_not_in_order_is_said() -> None:
    """Lines that nobody accounts for, offsets that are lost, and that nobody has come yet."""
    assert "unaccounted for 3" in drawn(look(books=[books(lines=104)]))
    assert "lost 7" in drawn(look(books=[books(lost_offsets=7)]))
    empty = drawn(look(rows=[], books=[], overview=None))
    assert "no line was counted in this span" in empty
    assert "no worker has counted a line yet" in empty
    assert "too many windows" in drawn(look(overview=None))
    assert "has no host" in drawn(look(), by="host")


def test_an_old_log_and_an_old_look_are_called_so() -> None:
    """Neither is mistaken for the present."""
    assert "to the last line, 2023-11-14 23:14" in drawn(look(follows="last"))
    said = drawn(look(), trouble="Postgres at here is away")
    assert "as of 23:14:00: Postgres at here is away" in said.splitlines()[1]


def test_now_is_the_last_whole_window_and_the_open_one() -> None:
    """A window that has just begun does not make the load look low; nor is it in the chart."""
    rows = [row(minute) for minute in range(59)] + [row(59, 120), row(60, 30)]
    said = drawn(look(at=at(3_615), end=at(3_660), start=at(60), rows=rows[1:]))
    assert "load 2.00/s now" in said  # 150 requests in 75 seconds
    assert "▂▂█\n" in re.sub(r" +\n", "\n", said) or "▄█\n" in said


def test_gaps_are_gaps() -> None:
    """A window without a line is no bar."""
    rows = [row(minute) for minute in range(60) if minute not in range(10, 20)]
    charted = next(line for line in drawn(look(rows=rows)).splitlines() if line.startswith("█"))
    assert charted.rstrip() == "█" * 10 + " " * 10 + "█" * 40


def test_days_have_dates() -> None:
    """A clock alone would say nothing."""
    start = at(0) - timedelta(days=2)
    assert "11-12 22:14" in drawn(look(start=start, size_s=3_600))
