"""Which spans a report has rows of, and which stored windows make up each of them."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain, pairwise, starmap
from typing import NamedTuple
from zoneinfo import ZoneInfo

from kpi_app.core.windows import format_duration, utc, window_start
from kpi_app.errors import UserError

#: Rows that one report may have; spans without a line are none.
MOST_SPANS = 10_000

_DAY_S = 86_400


class Span(NamedTuple):
    """`[start_s, end_s)`, seconds since the epoch, multiples of the base window."""

    start_s: int
    end_s: int

    @property
    def seconds(self) -> int:
        """Its length."""
        return self.end_s - self.start_s


class Piece(NamedTuple):
    """Whole windows of one size, next to each other."""

    size_s: int
    start_s: int
    end_s: int


def whole(start: datetime, end: datetime, base_s: int) -> Span:
    """The least span of whole base windows that holds `[start, end)`. Raises `UserError` when it would be empty."""
    first, last = int(start.timestamp()), -int(-end.timestamp() // 1)
    span = Span(window_start(first, base_s), -(-last // base_s) * base_s)
    if span.seconds <= 0:
        raise UserError(f"a report goes from an earlier to a later time, not from {start} to {end}")
    return span


def check_length(length_s: int, base_s: int) -> None:
    """Rows are of whole base windows; of whole days, where they are longer than one. Raises `UserError` for others."""
    if length_s <= 0 or length_s % base_s:
        raise UserError(f"{format_duration(length_s)} is not a multiple of the base window, {format_duration(base_s)}")
    if length_s > _DAY_S and length_s % _DAY_S:
        raise UserError(f"{format_duration(length_s)}: rows of more than a day are of whole days, such as 7d")


def in_days(length_s: int) -> bool:
    """Rows of this length begin at midnight; shorter ones at multiples of their length since the epoch."""
    return length_s % _DAY_S == 0


def step(span: Span, length_s: int, time_s: int) -> Span:
    """The row of `length_s`, less than a day, that a moment of a span is in."""
    start_s = window_start(time_s, length_s)
    return Span(max(start_s, span.start_s), min(start_s + length_s, span.end_s))


def days(span: Span, length_s: int, base_s: int, zone: ZoneInfo) -> Iterator[Span]:
    """Cut a span into rows of whole days, which begin at midnight in `zone`."""
    borders = (border for border in _midnights(span, length_s // _DAY_S, base_s, zone) if border > span.start_s)
    yield from starmap(Span, pairwise(chain([span.start_s], borders, [span.end_s])))


def check_rows(rows: int) -> None:
    """Raise `UserError` for more rows than `MOST_SPANS`."""
    if rows > MOST_SPANS:
        raise UserError(f"that is more than {MOST_SPANS:,} rows: ask for longer ones, or for a shorter span")


def _midnights(span: Span, days: int, base_s: int, zone: ZoneInfo) -> Iterator[int]:
    day = utc(span.start_s).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    while (border := int(day.timestamp())) < span.end_s:
        yield window_start(border, base_s)
        try:  # as the clock on the wall has it: a day may have 23 or 25 hours
            day = (day.replace(tzinfo=None) + timedelta(days=days)).replace(tzinfo=zone)
        except OverflowError:
            return  # no row begins after the year 9999


def pieces(span: Span, sizes_s: Sequence[int]) -> list[Piece]:
    """The fewest windows that make up a span, largest first within it; `sizes_s`: the largest first."""
    size_s, *smaller = sizes_s
    start_s, end_s = -(-span.start_s // size_s) * size_s, window_start(span.end_s, size_s)
    if start_s >= end_s:
        return pieces(span, smaller) if smaller else []
    rest = [Span(span.start_s, start_s), Span(end_s, span.end_s)]
    edges = [piece for part in rest if part.seconds and smaller for piece in pieces(part, smaller)]
    return [Piece(size_s, start_s, end_s), *edges]


def missing(piece: Piece, found_s: Sequence[int]) -> list[Span]:
    """The spans of a piece whose windows are not among those that start at `found_s`, in ascending order."""
    gaps, at_s = [], piece.start_s
    for start_s in [*found_s, piece.end_s]:
        if at_s < start_s:
            gaps.append(Span(at_s, start_s))
        at_s = start_s + piece.size_s
    return gaps
