"""Spans: whole windows that make up any span of time, each moment once."""

from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.errors import UserError
from kpi_app.report.spans import Piece, Span, check_length, check_rows, days, missing, pieces, step, whole

SIZES_S = (86_400, 3_600, 60)
BERLIN = ZoneInfo("Europe/Berlin")
MINUTES = st.integers(0, 5_000)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def seconds(text: str) -> int:
    return int(at(text).timestamp())


@given(MINUTES, MINUTES)
def test_pieces_cover_a_span_and_each_moment_once(first: int, length: int) -> None:
    """Whole windows, aligned to their size, none outside of the span."""
    span = Span(60 * first, 60 * (first + length + 1))
    found = sorted(pieces(span, SIZES_S), key=lambda piece: piece.start_s)
    assert found[0].start_s == span.start_s
    assert found[-1].end_s == span.end_s
    assert all(left.end_s == right.start_s for left, right in pairwise(found))
    assert all(p.start_s % p.size_s == p.end_s % p.size_s == 0 and p.start_s < p.end_s for p in found)


def test_pieces_are_few() -> None:
    """A month is read as days, with hours and minutes at its edges only."""
    span = Span(seconds("2026-01-01T23:58Z"), seconds("2026-02-01T01:01Z"))
    assert sorted((p.size_s, (p.end_s - p.start_s) // p.size_s) for p in pieces(span, SIZES_S)) == [
        (60, 1),
        (60, 2),
        (3_600, 1),
        (86_400, 30),
    ]


def test_windows_that_are_not_there_are_named() -> None:
    """What has no larger window yet is read from the smaller ones."""
    piece = Piece(10, 100, 160)
    assert missing(piece, []) == [Span(100, 160)]
    assert missing(piece, [100, 120, 130]) == [Span(110, 120), Span(140, 160)]
    assert missing(piece, range(100, 160, 10)) == []


def test_a_span_is_made_of_whole_base_windows() -> None:
    """A time within a window takes the window in."""
    start = at("2026-01-31T08:00:30Z")
    assert whole(start, start + timedelta(seconds=31), 60) == Span(
        seconds("2026-01-31T08:00Z"), seconds("2026-01-31T08:02Z")
    )
    for end in (start, start - timedelta(days=1)):
        with pytest.raises(UserError, match="earlier to a later"):
            whole(end.replace(second=0), end.replace(second=0), 60)


def test_days_begin_at_midnight_of_the_zone() -> None:
    """Also where clocks are put forward: that day has 23 hours."""
    span = Span(seconds("2026-03-28T00:00+01:00"), seconds("2026-03-31T00:00+02:00"))
    assert [s.seconds // 3_600 for s in days(span, 86_400, 60, BERLIN)] == [24, 23, 24]


def test_rows_may_end_with_the_calendar() -> None:
    """A row so long that the next one would begin after the year 9999 is the last one."""
    span = Span(0, seconds("9998-12-31T00:00Z"))
    assert [s.end_s for s in days(span, 36_500 * 86_400, 60, BERLIN)][-1] == span.end_s


@given(MINUTES, MINUTES, st.sampled_from([60, 300, 3_600, 86_400, 172_800]))
def test_rows_leave_nothing_out(first: int, length: int, row_s: int) -> None:
    """They are next to each other, from the first moment to the last."""
    span = Span(60 * first, 60 * (first + length + 1))
    if row_s < 86_400:
        rows = sorted({step(span, row_s, time_s) for time_s in range(*span, 60)})
    else:
        rows = [*days(span, row_s, 60, BERLIN)]
    assert (rows[0].start_s, rows[-1].end_s) == span
    assert all(left.end_s == right.start_s for left, right in pairwise(rows))
    assert all(0 < row.seconds <= row_s for row in rows)


@pytest.mark.parametrize(("length_s", "why"), [(0, "multiple"), (90, "multiple"), (90_000, "whole days")])
def test_lengths_that_make_no_rows_are_told_so(length_s: int, why: str) -> None:
    """One line that says what would be right."""
    with pytest.raises(UserError, match=why):
        check_length(length_s, 60)


def test_a_report_has_so_many_rows_and_no_more() -> None:
    """Nobody reads more, and each is united by itself."""
    check_rows(10_000)
    with pytest.raises(UserError, match="more than 10,000 rows"):
        check_rows(10_001)
