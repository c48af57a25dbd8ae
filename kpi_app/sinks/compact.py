"""Compact: the sealed segments that a partition has in a window become one, of part 0.

    find_late -> lock_books -> lock_windows -> read_sealed -> unite_sealed -> replace_sealed -> commit

Late lines leave a segment for each block of offsets that they come in; a window may get thousands. Uniting them is
safe because none of them can come again: a flush brings segments of offsets after the ledger's only, and those that
are sealed at that offset are of earlier ones. The lock on the ledger row keeps it from moving meanwhile.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from kpi_app.core import merge as core
from kpi_app.core import segment as segments
from kpi_app.core.aggregates import Measure
from kpi_app.core.segment import LATE_BLOCK, Segment
from kpi_app.sinks import queries
from kpi_app.sinks.claim import Scope
from kpi_app.sinks.connect import Session

_SQL = queries.load("compact")

#: Windows and segments a transaction, while which the partition is not flushed.
_WINDOWS, _SEGMENTS = 50, 200

#: Sealed late segments that are united though their window goes on changing.
MANY = 32


class Sealed(NamedTuple):
    """A segment that no line can reach any more."""

    start: datetime
    part: int
    offset: int
    requests: int
    state: bytes


async def compact_some(session: Session, scope: Scope) -> int:
    """Unite some segments of one partition, within the caller's transaction; returns how many, 0 for none left."""
    partition, starts = await find_late(session, scope)
    if not starts:
        return 0
    await lock_books(session, scope, partition)
    free = await lock_windows(session, scope, starts)
    sealed = await read_sealed(session, scope, partition, free)
    old, new = await asyncio.to_thread(unite_sealed, sealed, scope.feed.measures)
    if old:
        await replace_sealed(session, scope, partition, old, new)
    return len(old)


async def find_late(session: Session, scope: Scope) -> tuple[int, list[datetime]]:
    """A partition, and windows in which it has late segments that are worth uniting; none when there are none."""
    sql = _SQL["find_late"].format(table=queries.identifiers([scope.feed.table]))
    rows = await session.fetch(sql, scope.topic, scope.window_s, scope.pace.quiet_s, MANY, _WINDOWS, LATE_BLOCK)
    return (rows[0]["partition"], rows[0]["windows"]) if rows else (0, [])


async def lock_books(session: Session, scope: Scope, partition: int) -> None:
    """Keep flushes of a partition out until the transaction ends."""
    await session.execute(_SQL["lock_books"], scope.topic, partition)


async def lock_windows(session: Session, scope: Scope, starts: Sequence[datetime]) -> list[datetime]:
    """Keep merges of windows out until the transaction ends; returns those that none is at work on."""
    rows = await session.fetch(_SQL["lock_windows"], scope.lock, scope.window_s, list(starts))
    return [row["window_start"] for row in rows]


async def read_sealed(session: Session, scope: Scope, partition: int, starts: Sequence[datetime]) -> list[Sealed]:
    """Sealed segments of the windows, a part of them when they are many."""
    rows = await session.fetch(
        _SQL["read_sealed"], scope.topic, partition, list(starts), scope.window_s, _SEGMENTS, LATE_BLOCK
    )
    return [Sealed(*row) for row in rows]


def unite_sealed(sealed: Iterable[Sealed], measures: Sequence[Measure]) -> tuple[list[Sealed], list[Sealed]]:
    """Which segments are to be replaced, and by which; one that is alone in part 0 stays as it is."""
    old: list[Sealed] = []
    new: list[Sealed] = []
    for start, group in groupby(sealed, key=lambda segment: segment.start):
        parts = list(group)
        if parts[-1].part == 0:
            continue
        offset = max(segment.offset for segment in parts)
        whole = Segment(core.merge((segment.state for segment in parts), measures), offset)
        old += parts
        new.append(Sealed(start, 0, offset, whole.requests, segments.encode(whole, measures)))
    return old, new


async def replace_sealed(
    session: Session, scope: Scope, partition: int, old: Sequence[Sealed], new: Sequence[Sealed]
) -> None:
    """Put the united segments in the place of those that they were united from."""
    starts, parts = [segment.start for segment in old], [segment.part for segment in old]
    await session.execute(_SQL["delete_united"], scope.topic, partition, starts, parts)
    await session.execute(
        _SQL["write_united"],
        scope.topic,
        partition,
        [segment.start for segment in new],
        [segment.offset for segment in new],
        [segment.requests for segment in new],
        [segment.state for segment in new],
    )
