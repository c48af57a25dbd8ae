"""Fold: where each line counts, decided from the offsets before it and never from the batches."""

from collections.abc import Sequence
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi_app.core.aggregates import Count, CountBy, Max, Measure, Min, Sum
from kpi_app.core.fold import Folded, TimeRules, fold
from kpi_app.core.segment import LATE_BLOCK, Segment, SegmentKey, absorb, empty
from kpi_app.core.windows import US_PER_S

EVENT = pl.col("event_us")
MEASURES = (
    Measure("requests", Count()),
    Measure("late", Count(pl.col("late"))),
    Measure("size", Sum(pl.col("size"))),
    Measure("first", Min(EVENT)),
    Measure("last", Max(EVENT)),
    Measure("per_second", CountBy(pl.col("second"))),
)
# window 60 s, grace 10 s: [0----60) is late from a watermark of 70 on
RULES = TimeRules(window_s=60, grace_s=10, future_limit_s=60)
DROPPING = TimeRules(window_s=60, grace_s=10, future_limit_s=60, correct_for_s=20)

#: An event time in seconds, or the reason why there is none.
Line = float | str


def batch(lines: Sequence[Line], offset: int = 0, record_ms: Sequence[int | None] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "offset": range(offset, offset + len(lines)),
            "record_ms": record_ms or [None] * len(lines),
            "event_us": [None if isinstance(line, str) else round(line * US_PER_S) for line in lines],
            "reason": [line if isinstance(line, str) else None for line in lines],
            "size": 100,
        },
        {"offset": pl.Int64, "record_ms": pl.Int64, "event_us": pl.Int64, "reason": pl.String, "size": pl.Int64},
    )


def folded(
    lines: Sequence[Line],
    watermark_s: float | None = None,
    rules: TimeRules = RULES,
    offset: int = 0,
    record_ms: Sequence[int | None] | None = None,
) -> Folded:
    watermark_us = None if watermark_s is None else round(watermark_s * US_PER_S)
    return fold(batch(lines, offset, record_ms), watermark_us, rules, MEASURES)


def requests(result: Folded) -> dict[tuple[int, int], int]:
    """Lines by window start and part."""
    return {(key.window_start_s, key.part): values["requests"] for key, values in result.parts.items()}


def test_line_counts_in_the_window_of_its_event_time() -> None:
    """A line at the end of a window opens the next."""
    # [0----60)[60----120)
    #  0  59.9  60
    assert requests(folded([0, 59.999999, 60])) == {(0, 0): 2, (60, 0): 1}


def test_values_of_a_window() -> None:
    """Counts, sums, the first and the last, and counts by the second within the window."""
    [values] = folded([61, 60.5, 119, 60.25]).parts.values()
    assert values == {
        "requests": 4,
        "late": 0,
        "size": 400,
        "first": 60_250_000,
        "last": 119_000_000,
        "per_second": {0: 2, 1: 1, 59: 1},
    }


def test_watermark_is_the_greatest_event_time() -> None:
    """It never goes back, neither within a batch nor from one to the next."""
    assert folded([5, 30, 20]).watermark_us == 30 * US_PER_S
    assert folded([5, 30, 20], watermark_s=40).watermark_us == 40 * US_PER_S
    assert folded(["format"], watermark_s=40).watermark_us == 40 * US_PER_S
    assert folded(["format", "time"]).watermark_us is None


@pytest.mark.parametrize(("watermark_s", "part"), [(69.999999, 0), (70, 1)])
def test_line_is_late_exactly_from_window_end_plus_grace(watermark_s: float, part: int) -> None:
    """One microsecond before it is on time."""
    # [0----60)..grace..70
    #     30 ^ arrives when the watermark is there
    result = folded([30], watermark_s)
    assert requests(result) == {(0, part): 1}
    assert result.parts[SegmentKey(0, part)]["late"] == part


def test_lateness_is_decided_line_by_line_within_a_batch() -> None:
    """The line that moves the watermark isn't itself behind it, and those before it aren't either."""
    # offset   0   1   2   3
    # event   30  70  30  60      the watermark of each is the greatest before it: none, 30, 70, 70
    assert requests(folded([30, 70, 30, 60])) == {(0, 0): 1, (0, 1): 1, (60, 0): 2}


def test_rejected_line_moves_nothing() -> None:
    """The watermark of the next line is that of the last accepted one, also at the start of a batch."""
    result = folded(["time", 30, "json", 70, "format", 30])
    assert result.rejected == [(0, "time"), (2, "json"), (4, "format")]
    assert (result.lines, result.counted) == (6, 3)
    assert requests(result) == {(0, 0): 1, (60, 0): 1, (0, 1): 1}
    assert requests(folded(["time", 30], watermark_s=70)) == {(0, 1): 1}


def test_late_lines_go_to_the_part_of_their_block_of_offsets() -> None:
    """Two blocks of offsets, two parts."""
    lines = [30, 30]
    assert requests(folded(lines, watermark_s=500, offset=LATE_BLOCK - 1)) == {(0, 1): 1, (0, 2): 1}


@pytest.mark.parametrize(("record_ms", "reason"), [(0, "future"), (-1, "future"), (1_000, None), (None, None)])
def test_line_too_far_ahead_of_its_record_is_rejected(record_ms: int | None, reason: str | None) -> None:
    """At exactly the limit it is fine; a record without a time can't say."""
    # record at 1 s, limit 60 s: 61 s is the last event time that is accepted
    result = folded([61], record_ms=[record_ms])
    assert result.rejected == ([(0, reason)] if reason else [])
    assert result.watermark_us == (None if reason else 61 * US_PER_S)


def test_future_is_told_to_the_microsecond() -> None:
    """Though records have milliseconds."""
    assert folded([60.001], record_ms=[1]).rejected == []
    assert folded([60.001001], record_ms=[1]).rejected == [(0, "future")]


def test_future_line_moves_nothing() -> None:
    """Lines behind it are no later for it."""
    result = folded([30, 10_000, 30], record_ms=[30_000] * 3)
    assert result.rejected == [(1, "future")]
    assert requests(result) == {(0, 0): 2}
    assert result.watermark_us == 30 * US_PER_S


def test_record_time_out_of_all_bounds_is_only_compared() -> None:
    """A producer may stamp its records with any int64."""
    assert folded([30, 30], record_ms=[2**63 - 1, -(2**63)]).rejected == [(1, "future")]


@pytest.mark.parametrize(("watermark_s", "dropped"), [(89.999999, 0), (90, 1)])
def test_line_is_dropped_exactly_when_corrections_end(watermark_s: float, dropped: int) -> None:
    """Window end, grace and correct_for are over: it is in the books and in no window."""
    # [0----60)..grace..70..correct for..90
    result = folded([30], watermark_s, DROPPING)
    assert (result.lines, result.counted, result.late_dropped) == (1, 1 - dropped, dropped)
    assert requests(result) == ({} if dropped else {(0, 1): 1})
    assert result.rejected == []


def test_nothing_is_dropped_where_no_limit_is_set() -> None:
    """Late lines are counted for ever."""
    assert requests(folded([0], watermark_s=253_402_300_799)) == {(0, 1): 1}


def test_latest_time_and_longest_settings_stay_within_the_numbers() -> None:
    """The end of the year 9999 and a hundred years of grace add up."""
    century_s = 36_500 * 86_400
    rules = TimeRules(60, century_s, century_s, century_s)
    result = folded([253_402_300_799, 0], rules=rules, record_ms=[253_402_300_799_000] * 2)
    assert (result.counted, result.late_dropped) == (1, 1)


def test_books_balance() -> None:
    """Every line is counted, rejected, or dropped as late."""
    result = folded([30, "time", 1_000, 30, 500], rules=DROPPING)
    assert result.lines == result.counted + len(result.rejected) + result.late_dropped == 5
    assert result.next_offset == 5


def test_next_offset_follows_the_last_line() -> None:
    """Offsets may have gaps: transaction markers take some."""
    frame = batch([1, 2, 3], offset=7).with_columns(offset=pl.Series([7, 9, 14]))
    assert fold(frame, None, RULES, MEASURES).next_offset == 15


def test_only_rejected_lines_make_no_window() -> None:
    """And no error."""
    assert folded(["format", "json"]).parts == {}


SECONDS = st.integers(0, 300) | st.sampled_from([0, 59, 60, 69, 70, 90, 119, 120, 130, 150])
LINES: st.SearchStrategy[Line] = SECONDS | SECONDS | SECONDS | st.sampled_from(["format", "time"])


def absorbed(
    lines: Sequence[Line], cuts: Sequence[int], rules: TimeRules, record_ms: Sequence[int | None]
) -> tuple[object, ...]:
    """What folding run after run leaves behind."""
    parts: dict[SegmentKey, Segment] = {}
    rejected: list[tuple[int, str]] = []
    counted, dropped, watermark_us = 0, 0, None
    borders = sorted({0, *(cut for cut in cuts if cut < len(lines)), len(lines)})
    for start, end in pairwise(borders):
        run = batch(lines[start:end], LATE_BLOCK - 10 + start, record_ms[start:end])
        result = fold(run, watermark_us, rules, MEASURES)
        watermark_us = result.watermark_us
        rejected += result.rejected
        counted += result.counted
        dropped += result.late_dropped
        for key, values in result.parts.items():
            absorb(parts.setdefault(key, empty(MEASURES)), values, MEASURES)
    return parts, rejected, counted, dropped, watermark_us


@settings(max_examples=60)
@given(st.lists(LINES, min_size=1, max_size=40), st.lists(st.integers(1, 39), max_size=8), st.booleans(), st.booleans())
def test_batch_boundaries_never_matter(lines: list[Line], cuts: list[int], dropping: bool, with_times: bool) -> None:
    """Any cutting of the offsets into runs, folded one after the other, gives what one fold gives."""
    rules = DROPPING if dropping else RULES
    record_ms = [100_000 if with_times else None] * len(lines)
    assert absorbed(lines, cuts, rules, record_ms) == absorbed(lines, [], rules, record_ms)
