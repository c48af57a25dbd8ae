"""The stored windows of a span, united: visitors and percentiles of a week are those of its lines."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import polars as pl

from kpi_app.core.merge import Values, span
from kpi_app.core.segment import Segment, absorb, empty
from kpi_app.core.windows import utc
from kpi_app.errors import UserError
from kpi_app.feeds.base import Feed
from kpi_app.report.spans import Piece, Span, missing, pieces
from kpi_app.sinks.connect import Database, Session
from kpi_app.sinks.read import held_spans, states

#: Windows that are in hand at once.
_PAGE = 60

#: Told, after each few windows, how many seconds of how many are united, and of how many windows.
OnWindows = Callable[[int, int, int], None]


class Asked(NamedTuple):
    """What a report is of."""

    #: Its rows, in ascending order.
    spans: Sequence[Span]
    #: A dimension, whose values are the rows then; None for the KPIs.
    by: str | None = None
    #: So many values of it.
    top: int = 10


def dimensions(feed: Feed) -> tuple[str, ...]:
    """What a feed's report can be by."""
    kind = feed.top_lists
    return tuple(kind.dimensions) if kind else ()


def check_dimension(feed: Feed, by: str | None) -> None:
    """Raise `UserError` for a dimension that the feed does not have."""
    if by is not None and by not in dimensions(feed):
        raise UserError(f"unknown dimension {by!r}: one of {', '.join(dimensions(feed))}")


def columns(feed: Feed, by: str | None) -> list[str]:
    """The names of a report's columns, in order."""
    zeros = {measure.name: measure.aggregate.zero() for measure in feed.measures}
    return ["from", "to", *(feed.listed([zeros], 1).drop("list").columns if by else feed.row(zeros, 1))]


async def report(
    database: Database,
    feed: Feed,
    sizes_s: Sequence[int],
    asked: Asked,
    most_states: int | None = None,
    told: OnWindows = lambda done_s, total_s, windows: None,
) -> list[dict[str, Any]]:
    """A row a span with the columns of the feed's table; or, by a dimension, a row a value of it.

    Spans without a line have no row. `sizes_s`: the window sizes that are kept up to date. Raises `UserError` for an
    unknown dimension and when over `most_states` windows would have to be read, `SinkBusy` and `SinkRefused`.
    """
    check_dimension(feed, asked.by)
    rows: list[dict[str, Any]] = []
    read, before_s, total_s = 0, 0, sum(one.seconds for one in asked.spans)
    async with database.session() as session:
        for one in asked.spans:
            left = None if most_states is None else most_states - read
            here = partial(_told_after, told, before_s, total_s, read)
            total, read_here = await _united(session, feed, one, sizes_s, left, here)
            read, before_s = read + read_here, before_s + one.seconds
            if total is not None:
                rows += await asyncio.to_thread(_rows, feed, one, total.values, asked)
    return rows


def _told_after(told: OnWindows, before_s: int, total_s: int, read: int, done_s: int, windows: int) -> None:
    told(before_s + done_s, total_s, read + windows)


async def overview(
    database: Database, feed: Feed, sizes_s: Sequence[int], one: Span, top: int, most_states: int | None = None
) -> dict[str, Any] | None:
    """One span's row, and under `tops` the `top` values of every dimension by name; None for one without a line.

    Each stored window is read once for all of it. Raises as `report` does.
    """
    async with database.session() as session:
        total, _ = await _united(session, feed, one, sizes_s, most_states)
    return None if total is None else await asyncio.to_thread(_overview, feed, one, total.values, top)


async def _united(
    session: Session,
    feed: Feed,
    one: Span,
    sizes_s: Sequence[int],
    most_states: int | None,
    told: Callable[[int, int], None] = lambda done_s, windows: None,
) -> tuple[Segment | None, int]:
    """The windows of a span as one segment, None where there are none, and how many were read."""
    total: Segment | None = None
    read = done_s = 0
    async for size_s, encoded in _states(session, feed, one, sorted(sizes_s, reverse=True)):
        read += len(encoded)
        if most_states is not None and read > most_states:
            raise UserError("too many windows to read: ask for a shorter span, or for whole hours")
        total = total or empty(feed.measures)
        await asyncio.to_thread(_add, total, encoded, feed)
        done_s += size_s * len(encoded)
        told(done_s, read)
    return total, read


def _add(total: Segment, encoded: Sequence[bytes], feed: Feed) -> None:
    absorb(total, span(encoded, feed.measures), feed.measures)


async def _states(
    session: Session, feed: Feed, one: Span, sizes_s: Sequence[int]
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Encoded windows, and their size, that make up a span: the largest that are closed, else the smaller ones."""
    for piece in pieces(one, sizes_s):
        smaller = [size_s for size_s in sizes_s if size_s < piece.size_s]
        found_s: list[int] = []
        async for page in _pages(session, feed, piece, only_closed=bool(smaller)):
            found_s += page
            yield piece.size_s, list(page.values())
        gaps = missing(piece, found_s) if smaller else []
        # asked of all at once: years without a line are no reason to look into each of their hours
        for gap in await held_spans(session, feed, smaller, gaps) if gaps else ():
            async for found_there in _states(session, feed, gap, smaller):
                yield found_there


async def _pages(session: Session, feed: Feed, piece: Piece, *, only_closed: bool) -> AsyncIterator[dict[int, bytes]]:
    """The encoded windows that a piece has, by start: so many queries as they need, however far apart they are."""
    at_s = piece.start_s
    while at_s < piece.end_s:
        page = await states(session, feed, piece.size_s, utc(at_s), utc(piece.end_s), only_closed, _PAGE)
        found = {int(start.timestamp()): encoded for start, encoded in page.items()}
        if found:
            yield found
        at_s = max(found) + piece.size_s if len(found) == _PAGE else piece.end_s


def _rows(feed: Feed, one: Span, values: Values, asked: Asked) -> list[dict[str, Any]]:
    head = {"from": utc(one.start_s), "to": utc(one.end_s)}
    if asked.by is None:
        return [head | feed.row(values, one.seconds)]
    listed = feed.listed([values], asked.top)
    return [head | row for row in listed.filter(pl.col("dimension") == asked.by).drop("list").to_dicts()]


def _overview(feed: Feed, one: Span, values: Values, top: int) -> dict[str, Any]:
    [row] = _rows(feed, one, values, Asked([one]))
    tops: dict[str, list[dict[str, Any]]] = {}
    for value in feed.listed([values], top).drop("list").to_dicts() if feed.top_lists else ():
        tops.setdefault(value.pop("dimension"), []).append(value)
    return row | {"tops": tops}
