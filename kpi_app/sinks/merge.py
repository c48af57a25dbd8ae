"""Merge: the segments of whole windows, over all source partitions, become the rows that people read.

    lock_windows -> take_marks -> read_segments -> unite -> write_rows -> commit

One READ COMMITTED transaction does a bunch of windows. The order of its steps loses no mark: a mark that
`take_marks` sees was committed together with its segments, so that `read_segments`, a later statement, sees them;
a mark that comes after stays for the next merge.

A row closes by what the ledger said in `lock_windows`, before the segments were read: no closed row lacks lines
of the offsets that closed it. And it closes sooner or later: `lock_windows` compares the open rows with the
ledger as both are, each time. Were it left to flush to mark what it closes, a flush and a merge that do not see
each other's rows yet could both leave a window open, for ever. A row that is found so closes in that very
transaction, so that it is not found again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from kpi_app.core.merge import merge as unite_values
from kpi_app.sinks import queries
from kpi_app.sinks.claim import Scope
from kpi_app.sinks.connect import Session

_SQL = queries.load("merge")

#: Windows a transaction: each holds a lock in Postgres' table of locks, which has room for some thousands.
WINDOWS = 200

#: Windows a read: bounds what is in memory, and how long Postgres hears nothing of us.
_READ = 50


class Window(NamedTuple):
    """A base window that is locked for a merge."""

    start: datetime
    #: Its row is open though every partition has passed it.
    is_due: bool
    #: Every partition has passed it.
    closes: bool


async def merge_windows(session: Session, scope: Scope) -> int:
    """Merge a bunch of windows, within the caller's transaction; returns how many were looked at."""
    windows = await lock_windows(session, scope)
    if not windows:
        return 0
    todo = await take_marks(session, scope, windows)
    rows: list[dict[str, object]] = []
    for start in range(0, len(todo), _READ):
        some = todo[start : start + _READ]
        states = await read_segments(session, scope, some)
        rows += await asyncio.to_thread(unite, scope, some, states)  # in a thread: the loop has a log to read
    if rows:
        await write_rows(session, scope, rows)
    return len(windows)


async def lock_windows(session: Session, scope: Scope) -> list[Window]:
    """Lock windows that have something to merge, oldest first, until the transaction ends; never waits."""
    sql = _SQL["lock_windows"].format(table=queries.identifiers([scope.feed.table]))
    lock = f"kpi_app/{scope.topic}/"
    rows = await session.fetch(sql, scope.topic, lock, scope.window_s, scope.grace_s, WINDOWS)
    return [Window(*row) for row in rows]


async def take_marks(session: Session, scope: Scope, windows: Sequence[Window]) -> list[Window]:
    """Delete the windows' marks; returns those to merge, without what another worker has just done."""
    starts = [window.start for window in windows]
    rows = await session.fetch(_SQL["take_marks"], scope.topic, scope.window_s, starts)
    marked = {row["window_start"] for row in rows}
    return [window for window in windows if window.is_due or window.start in marked]


async def read_segments(session: Session, scope: Scope, windows: Sequence[Window]) -> Mapping[datetime, list[bytes]]:
    """All segments of the windows, by the window's start."""
    states: dict[datetime, list[bytes]] = defaultdict(list)
    starts = [window.start for window in windows]
    for start, state in await session.fetch(_SQL["read_segments"], scope.topic, starts):
        states[start].append(state)
    return states


def unite(scope: Scope, windows: Sequence[Window], states: Mapping[datetime, list[bytes]]) -> list[dict[str, object]]:
    """The row of each window."""
    return [
        {
            "window_start": window.start,
            "window_seconds": scope.window_s,
            "closed": window.closes,
            **scope.feed.row(unite_values(states[window.start], scope.feed.measures), scope.window_s),
        }
        for window in windows
    ]


async def write_rows(session: Session, scope: Scope, rows: Sequence[Mapping[str, object]]) -> None:
    """Publish the rows that changed."""
    columns = [name for name in rows[0] if name not in ("window_start", "window_seconds", "closed")]
    sql = _SQL["write_rows"].format(
        table=queries.identifiers([scope.feed.table]),
        columns=queries.identifiers(columns),
        old=queries.identifiers(columns, "old."),
        new=queries.identifiers(columns, "excluded."),
    )
    await session.execute(sql, orjson.dumps(rows).decode())
