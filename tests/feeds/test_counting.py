"""Decode, parse and fold together: the numbers of whole logs, against a recount that shares nothing with them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kpi_app.core.fold import TimeRules, fold
from kpi_app.core.segment import Segment, SegmentKey, absorb, empty
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.base import Reading
from kpi_app.feeds.envelope import decode
from tests.feeds.nasty import GOOD_LINES, VALUES
from tests.recount import Recount, Window, recount

AUTO = Reading()
RULES = TimeRules(window_s=60, grace_s=60, future_limit_s=60)
COLUMNS = [*(f"status_{n}xx" for n in range(1, 6)), "status_other"]

#: Segments, rejected offsets with their reasons, lines dropped, and the watermark.
Counted = tuple[dict[SegmentKey, Segment], dict[int, str], int, int | None]


def count(
    values: Sequence[bytes | None],
    borders: Sequence[int] = (),
    rules: TimeRules = RULES,
    record_ms: int | None = None,
    reading: Reading = AUTO,
) -> Counted:
    """Take the values in runs that end at the borders, from offset 0, as a worker does."""
    parts: dict[SegmentKey, Segment] = {}
    rejected: dict[int, str] = {}
    dropped, watermark_us = 0, None
    for start, end in pairwise(sorted({0, len(values), *(b for b in borders if b < len(values))})):
        run = ACCESS.parse(decode(values[start:end]), reading).with_columns(
            offset=pl.int_range(start, end, dtype=pl.Int64), record_ms=pl.lit(record_ms, dtype=pl.Int64)
        )
        folded = fold(run, watermark_us, rules, ACCESS.measures)
        watermark_us = folded.watermark_us
        rejected.update(folded.rejected)
        dropped += folded.late_dropped
        for key, part in folded.parts.items():
            absorb(parts.setdefault(key, empty(ACCESS.measures)), part, ACCESS.measures)
    return parts, rejected, dropped, watermark_us


def rows(parts: dict[SegmentKey, Segment], window_s: int = 60) -> dict[int, dict[str, object]]:
    """The row of each window, over all of its parts."""
    windows: dict[int, Segment] = {}
    for key, segment in parts.items():
        absorb(windows.setdefault(key.window_start_s, empty(ACCESS.measures)), segment.values, ACCESS.measures)
    return {start: ACCESS.row(windows[start].values, window_s) for start in sorted(windows)}


def row(window: Window, window_s: int = 60) -> dict[str, object]:
    """The row of a window by the recount."""
    return {
        "requests": window.requests,
        "requests_per_second": window.requests / window_s,
        "peak_requests_per_second": window.peak_per_second,
        "bytes_sent": window.bytes_sent,
        **{column: window.status[column] for column in COLUMNS},
        "late_requests": window.late,
        "first_event": window.first_event,
        "last_event": window.last_event,
    }


def agree(counted: Counted, truth: Recount, window_s: int = 60) -> None:
    parts, rejected, dropped, _ = counted
    expected = {start: row(window, window_s) for start, window in truth.windows.items()}
    found = rows(parts, window_s)
    assert {start: {name: found[start][name] for name in expected[start]} for start in found} == expected
    assert rejected == truth.reasons
    assert dropped == truth.late_dropped


def at(clock: str, rest: str = '"GET / HTTP/1.1" 200 5') -> bytes:
    return f"1.2.3.4 - - [23/May/2023:{clock} +0000] {rest}".encode()


def test_minute_of_a_log() -> None:
    """Loads, bytes, classes, times: as one would count by hand."""
    # [14:21:00----14:22:00)[14:22----
    #      :08 :08      :59   :00
    lines = [
        at("14:21:08"),
        at("14:21:59", '"" 404 - "-" "curl"'),
        at("14:22:00"),
        b"nonsense",
        at("14:21:08", '"-" - 7'),
    ]
    parts, rejected, _, _ = count(lines)
    assert [(r["requests"], r["peak_requests_per_second"]) for r in rows(parts).values()] == [(3, 2), (1, 1)]
    assert rejected == {3: "format"}
    agree(count(lines), recount(lines))


def test_late_line_is_counted_and_told() -> None:
    """It corrects its window, from a part of its own."""
    # grace 60 s:  14:21 [--) 14:22 [..grace..) 14:23 <- from a watermark here on, 14:21 is late
    lines = [at("14:21:08"), at("14:22:59"), at("14:21:09"), at("14:23:00"), at("14:21:10")]
    parts, _, _, _ = count(lines)
    assert [(key.part, segment.requests) for key, segment in sorted(parts.items())] == [(0, 2), (1, 1), (0, 1), (0, 1)]
    agree(count(lines), recount(lines))


@st.composite
def _settings(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "window_s": draw(st.sampled_from([1, 7, 60])),
        "grace_s": draw(st.sampled_from([0, 5, 60])),
        "correct_for_s": draw(st.sampled_from([None, None, 0, 30])),
        "future_limit_s": draw(st.sampled_from([0, 60])),
    }


GOOD = GOOD_LINES.map(str.encode)
BORDERS = st.lists(st.integers(1, 40), max_size=6)


@settings(max_examples=60)
@given(st.lists(GOOD | GOOD | GOOD | VALUES, min_size=1, max_size=40), BORDERS, _settings(), st.booleans())
def test_any_log_cut_anywhere_is_counted_as_by_hand(
    values: list[bytes | None], borders: list[int], times: dict[str, Any], with_record_time: bool
) -> None:
    """Whatever the values and wherever the batches end: the windows, the reasons and the lines dropped are the same."""
    record_ms = 1_684_852_200_000 if with_record_time else None  # 14:30 of the day of most lines
    truth = recount(values, record_ms=[record_ms] * len(values), **times)
    for cuts in (borders, []):
        agree(count(values, cuts, TimeRules(**times), record_ms), truth, times["window_s"])


@settings(max_examples=60)
@given(st.lists(st.binary() | VALUES, min_size=1, max_size=20), st.sampled_from(ACCESS.formats))
@example([b"", b"\0", b"{", b"[", None], "auto")
def test_nothing_that_a_topic_holds_stops_the_counting(values: list[bytes | None], log_format: str) -> None:
    """Every value is counted or has a reason."""
    parts, rejected, dropped, _ = count(values, reading=Reading(log_format))
    assert len(values) == sum(segment.requests for segment in parts.values()) + len(rejected) + dropped
    assert set(rejected.values()) <= {"format", "time", "encoding", "oversize", "json"}


@settings(max_examples=60)
@given(st.lists(VALUES, min_size=1, max_size=20), VALUES)
def test_neighbours_never_change_a_line(values: list[bytes | None], line: bytes | None) -> None:
    """A value alone is what it is in the midst of others."""
    [alone] = ACCESS.parse(decode([line]), AUTO).rows()
    assert ACCESS.parse(decode([*values, line, *values]), AUTO).row(len(values)) == alone
