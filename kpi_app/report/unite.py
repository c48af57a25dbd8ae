"""The stored windows of a span, united: visitors and percentiles of a week are those of its lines."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from kpi_app.core.merge import Values, settle, span
from kpi_app.core.windows import utc
from kpi_app.errors import UserError
from kpi_app.feeds.base import Feed
from kpi_app.report.spans import Span, missing, pieces
from kpi_app.sinks.connect import Database, Session
from kpi_app.sinks.read import states


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


async def report(database: Database, feed: Feed, sizes_s: Sequence[int], asked: Asked) -> list[dict[str, Any]]:
    """A row a span with the columns of the feed's table; or, by a dimension, a row a value of it.

    Spans without a line have no row. `sizes_s`: the window sizes that are stored. Raises `UserError` for an unknown
    dimension, `SinkBusy` and `SinkRefused`.
    """
    if asked.by is not None and asked.by not in dimensions(feed):
        raise UserError(f"unknown dimension {asked.by!r}: one of {', '.join(dimensions(feed))}")
    rows: list[dict[str, Any]] = []
    async with database.session() as session:
        for one in asked.spans:
            encoded = await _states(session, feed, one, sorted(sizes_s, reverse=True))
            if encoded:
                values = await asyncio.to_thread(span, encoded, feed.measures)
                rows += await asyncio.to_thread(_rows, feed, one, values, asked)
    return rows


async def _states(session: Session, feed: Feed, one: Span, sizes_s: Sequence[int]) -> list[bytes]:
    """Encoded windows that make up a span: the largest that are closed, the smaller ones where there is none."""
    found: list[bytes] = []
    for piece in pieces(one, sizes_s):
        smaller = [size_s for size_s in sizes_s if size_s < piece.size_s]
        by_start = await states(
            session, feed, piece.size_s, utc(piece.start_s), utc(piece.end_s), only_closed=bool(smaller)
        )
        found += by_start.values()
        if smaller:
            for gap in missing(piece, [int(start.timestamp()) for start in by_start]):
                found += await _states(session, feed, gap, smaller)
    return found


def _rows(feed: Feed, one: Span, values: Values, asked: Asked) -> list[dict[str, Any]]:
    head = {"from": utc(one.start_s), "to": utc(one.end_s)}
    settle([values], feed.measures)
    kind = feed.top_lists
    if asked.by is None or feed.tops is None or kind is None:
        return [head | feed.row(values, one.seconds)]
    listed = kind.listed([values[feed.tops]], pl.DataFrame([feed.totals(values)]), asked.top)
    return [head | row for row in listed.filter(pl.col("dimension") == asked.by).drop("list").to_dicts()]
