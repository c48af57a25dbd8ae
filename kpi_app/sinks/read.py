"""Read: rows and books, for pages, probes and the demo."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from kpi_app.core.windows import utc
from kpi_app.feeds.base import Feed
from kpi_app.sinks import queries
from kpi_app.sinks.connect import Database, Session

_SQL = queries.load("read")

Ends = TypeVar("Ends", bound=tuple[int, int])


async def windows(
    database: Database,
    feed: Feed,
    size_s: int,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = 1_000,
) -> list[dict[str, Any]]:
    """The latest `limit` rows of a size that start in `[start, end)`, oldest first; what people read, by name."""
    columns = ["window_start", "window_seconds", *_measured(feed), "closed", "revision", "updated_at"]
    sql = _SQL["windows"].format(table=queries.identifiers([feed.table]), columns=queries.identifiers(columns))
    async with database.session() as session:
        rows = await session.fetch(sql, size_s, start, end, limit)
    return [dict(row) for row in reversed(rows)]


async def ledger(database: Database, topic: str) -> list[dict[str, Any]]:
    """The books of each partition that a worker has opened, as `ingest_ledger` has them."""
    async with database.session() as session:
        return [dict(row) for row in await session.fetch(_SQL["ledger"], topic)]


async def segments(database: Database, topic: str, partition: int, limit: int) -> list[dict[str, Any]]:
    """The latest segments of a partition, newest window first, without their states."""
    async with database.session() as session:
        return [dict(row) for row in await session.fetch(_SQL["segments"], topic, partition, limit)]


async def is_settled(database: Database, feed: Feed, topic: str) -> bool:
    """Nothing is left to merge and every base row is closed; so it is, too, before the first flush."""
    sql = _SQL["is_settled"].format(table=queries.identifiers([feed.table]))
    async with database.session() as session:
        return bool(await session.value(sql, topic))


async def extent(database: Database, feed: Feed, size_s: int) -> tuple[datetime, datetime] | None:
    """From the start of the first stored window of a size to the end of the last; None when there is none."""
    sql = _SQL["extent"].format(table=queries.identifiers([feed.table]))
    async with database.session() as session:
        [row] = await session.fetch(sql, size_s)
    return None if row["first"] is None else (row["first"], row["last"])


async def states(
    session: Session, feed: Feed, size_s: int, start: datetime, end: datetime, only_closed: bool, limit: int
) -> dict[datetime, bytes]:
    """The states of the first `limit` windows of a size that start in `[start, end)`, by start in ascending order."""
    sql = _SQL["states"].format(table=queries.identifiers([feed.table]))
    rows = await session.fetch(sql, size_s, start, end, only_closed, limit)
    return {row["window_start"]: row["sketches"] for row in rows}


async def held_spans(session: Session, feed: Feed, sizes_s: Sequence[int], spans: Sequence[Ends]) -> list[Ends]:
    """Those of some `[start_s, end_s)` in which a window of one of these sizes starts, in their order."""
    sql = _SQL["held_spans"].format(table=queries.identifiers([feed.table]))
    starts, ends = [utc(start_s) for start_s, _ in spans], [utc(end_s) for _, end_s in spans]
    return [spans[row["number"] - 1] for row in await session.fetch(sql, list(sizes_s), starts, ends)]


async def held_steps(
    session: Session, feed: Feed, size_s: int, start: datetime, end: datetime, step_s: int, limit: int
) -> list[datetime]:
    """The first window of a size in each step since the epoch, of those that start in `[start, end)`."""
    sql = _SQL["held_steps"].format(table=queries.identifiers([feed.table]))
    return [row["window_start"] for row in await session.fetch(sql, size_s, start, end, step_s, limit)]


async def tops(database: Database, feed: Feed, size_s: int, start: datetime, dimension: str) -> list[dict[str, Any]]:
    """The rows of one window and dimension, the heaviest first, `(other)` last."""
    sql = _SQL["tops"].format(by=queries.identifiers([f"{feed.table}_by"]))
    async with database.session() as session:
        return [dict(row) for row in await session.fetch(sql, size_s, start, dimension)]


def _measured(feed: Feed) -> list[str]:
    return list(feed.row({measure.name: measure.aggregate.zero() for measure in feed.measures}, 1))
