"""Which spans a report has rows of, and which stored windows make up each of them."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from kpi_app.core.windows import format_duration, utc, window_start
from kpi_app.errors import UserError

#: Rows that one report may have.
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


def cut(span: Span, length_s: int, base_s: int, zone: ZoneInfo) -> list[Span]:
    """Cut a span into rows of `length_s`, a multiple of the base window.

    Days begin at midnight in `zone`, shorter rows at multiples of their length since the epoch. Raises `UserError`
    for other lengths, and for more rows than `MOST_SPANS`.
    """
    if length_s <= 0 or length_s % base_s:
        raise UserError(f"{format_duration(length_s)} is not a multiple of the base window, {format_duration(base_s)}")
    if length_s > _DAY_S and length_s % _DAY_S:
        raise UserError(f"{format_duration(length_s)}: rows of more than a day are of whole days, such as 7d")
    if span.seconds / length_s > MOST_SPANS:
        raise UserError(f"that is more than {MOST_SPANS:,} rows: ask for longer ones, or for a shorter span")
    borders = list(
        _midnights(span, length_s // _DAY_S, base_s, zone) if length_s % _DAY_S == 0 else _steps(span, length_s)
    )
    edges = [span.start_s, *(border for border in borders if span.start_s < border < span.end_s), span.end_s]
    return [Span(*pair) for pair in pairwise(edges)]


def _steps(span: Span, length_s: int) -> Iterator[int]:
    yield from range(window_start(span.start_s, length_s), span.end_s, length_s)


def _midnights(span: Span, days: int, base_s: int, zone: ZoneInfo) -> Iterator[int]:
    day = utc(span.start_s).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    while (border := int(day.timestamp())) < span.end_s:
        yield window_start(border, base_s)
        # as the clock on the wall has it: a day may have 23 or 25 hours
        day = (day.replace(tzinfo=None) + timedelta(days=days)).replace(tzinfo=zone)


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
