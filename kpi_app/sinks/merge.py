"""Merge: the segments of whole windows, over all source partitions, become the rows that people read.

    hold -> lock_windows -> take_marks -> weigh
         -> (read_segments -> unite -> write_rows -> write_tops -> mark_larger) for each bunch -> commit

One READ COMMITTED transaction does a bunch of windows of one size. The order of its steps loses no mark: a mark that
`take_marks` sees was committed together with its segments, so that `read_segments`, a later statement, sees them;
a mark that comes after stays for the next merge. Larger windows are the same over again, with the rows of the next
smaller size for segments, and with marks that the merges of those leave.

A row closes by what the ledger said in `lock_windows`, before the segments were read: no closed row lacks lines
of the offsets that closed it. And it closes sooner or later: `lock_windows` compares the open rows with the
ledger as both are, each time. Were it left to flush to mark what it closes, a flush and a merge that do not see
each other's rows yet could both leave a window open, for ever. A row that is found so closes in that very
transaction, so that it is not found again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from kpi_app.core import merge as core
from kpi_app.core import segment as segments
from kpi_app.core.aggregates import Measure
from kpi_app.core.segment import Segment
from kpi_app.sinks import queries
from kpi_app.sinks.claim import Held, Scope, hold
from kpi_app.sinks.connect import Session
from kpi_app.sinks.tops import write_tops

_SQL = queries.load("merge")

#: Windows a transaction: each holds a lock in Postgres' table of locks, which has room for some thousands.
WINDOWS = 200

#: Larger windows a transaction: each one is made of dozens, and the base rows of the next seconds wait for it.
LARGER = 20

#: Windows in hand at once, and bytes of their states as they are stored, unless a single one has more: bounds what
#: is in memory. Each bunch has its price, whatever it holds.
_IN_HAND, _BYTES = 50, 400 << 10

#: States a read: bounds what is in memory, and how long Postgres hears nothing of us.
_PAGE = 50

_BEFORE_ALL = datetime(1, 1, 1, tzinfo=UTC)


class Size(NamedTuple):
    """A size of windows, as all workers of the feed go by it."""

    window_s: int
    #: Smaller sizes, the base first; none for the base.
    smaller_s: tuple[int, ...]
    #: The next larger size.
    larger_s: int | None


class Window(NamedTuple):
    """A window that is locked for a merge."""

    start: datetime
    #: Its row is open though every partition has passed it.
    is_due: bool
    #: Every partition has passed it.
    closes: bool
    #: Its top lists may be written.
    lists: bool = False


class Looked(NamedTuple):
    """What a merge has done."""

    windows: int
    #: There is no larger size.
    is_last: bool


class United(NamedTuple):
    """All that is known of a window."""

    window: Window
    values: core.Values
    row: dict[str, object]
    state: bytes


async def merge_windows(session: Session, scope: Scope, level: int) -> Looked:
    """Merge a bunch of windows of a size, 0 for the base, within the caller's transaction."""
    held = await hold(session, scope.feed)
    if held is None or level >= len(held.windows_s):
        return Looked(0, is_last=True)
    size = _size(held, level)
    windows = await lock_windows(session, scope, size)
    if windows:
        todo = await take_marks(session, scope, size, windows)
        kept = [window for window in todo if held.expired_before is None or window.start >= held.expired_before]
        weights = await weigh(session, scope, size, kept) if len(kept) > 1 else {}
        for bunch in bunches(kept, weights):
            await publish(session, scope, size, bunch)
    return Looked(len(windows), is_last=size.larger_s is None)


def _size(held: Held, level: int) -> Size:
    sizes = held.windows_s
    return Size(sizes[level], sizes[:level], sizes[level + 1] if level + 1 < len(sizes) else None)


async def lock_windows(session: Session, scope: Scope, size: Size) -> list[Window]:
    """Lock windows that have something to merge, oldest first, until the transaction ends; never waits."""
    sql = _SQL["lock_windows"].format(table=queries.identifiers([scope.feed.table]))
    most, smaller = LARGER if size.smaller_s else WINDOWS, list(size.smaller_s)
    rows = await session.fetch(sql, scope.topic, scope.lock, size.window_s, scope.grace_s, most, smaller)
    return [Window(*row) for row in rows]


async def take_marks(session: Session, scope: Scope, size: Size, windows: Sequence[Window]) -> list[Window]:
    """Delete the windows' marks; returns those to merge, without what another worker has just done."""
    sql = _SQL["take_marks"].format(table=queries.identifiers([scope.feed.table]))
    # larger windows have a pace of their own, by which their rows and lists are written together
    pace_s = 0 if size.smaller_s else scope.pace.tops_every_s
    starts = [window.start for window in windows]
    taken = {row["window_start"]: row for row in await session.fetch(sql, scope.topic, size.window_s, starts, pace_s)}
    return [
        window._replace(lists=scope.feed.tops is not None and (window.closes or taken[window.start]["lists"]))
        for window in windows
        if window.is_due or taken[window.start]["is_marked"]
    ]


async def weigh(session: Session, scope: Scope, size: Size, windows: Sequence[Window]) -> Mapping[datetime, int]:
    """Bytes of the states that windows are made of, as they are now."""
    starts = [window.start for window in windows]
    if size.smaller_s:
        sql = _SQL["weigh_smaller"].format(table=queries.identifiers([scope.feed.table]))
        rows = await session.fetch(sql, size.smaller_s[-1], starts, size.window_s)
    else:
        rows = await session.fetch(_SQL["weigh_segments"], scope.topic, starts)
    return {row["window_start"]: row["bytes"] for row in rows}


def bunches(windows: Iterable[Window], weights: Mapping[datetime, int]) -> Iterator[list[Window]]:
    """Windows that are in hand at once, in their order, by the weights of their starts."""
    bunch: list[Window] = []
    total = 0
    for window in windows:
        weight = weights.get(window.start, 0)
        if bunch and (len(bunch) >= _IN_HAND or total + weight > _BYTES):
            yield bunch
            bunch, total = [], 0
        bunch.append(window)
        total += weight
    if bunch:
        yield bunch


async def publish(session: Session, scope: Scope, size: Size, windows: Sequence[Window]) -> None:
    """Read, unite and write windows whose marks are taken."""
    states = await read_states(session, scope, size, windows)
    united = await asyncio.to_thread(unite, scope, size, windows, states)  # in a thread: the loop has a log to read
    changed = await write_rows(session, scope, united)
    if listed := [one for one in united if one.window.lists and one.window.start in changed]:
        await write_tops(session, scope, size.window_s, [(one.window.start, one.values) for one in listed])
    behind = [window.start for window in windows if scope.feed.tops and not window.lists]
    if behind:  # changed or not: their marks were taken
        await mark_again(session, scope, size, behind)
    if changed and size.larger_s:
        await mark_larger(session, scope, size.larger_s, changed)


async def read_states(
    session: Session, scope: Scope, size: Size, windows: Sequence[Window]
) -> Mapping[datetime, Segment]:
    """All lines of the windows, page by page: one window may have thousands of late segments."""
    read, add = (read_smaller, core.span) if size.smaller_s else (read_segments, core.merge)
    totals = {window.start: segments.empty(scope.feed.measures) for window in windows}
    key: tuple[object, ...] = ()
    while page := await read(session, scope, size, windows, key):
        await asyncio.to_thread(_absorb, totals, page, scope.feed.measures, add)
        key = tuple(page[-1])[:-1]
        if len(page) < _PAGE:
            break
    return totals


def _absorb(
    totals: Mapping[datetime, Segment],
    page: Iterable[Sequence[object]],
    measures: Sequence[Measure],
    add: Callable[[Iterable[bytes], Sequence[Measure]], core.Values],
) -> None:
    states: dict[object, list[bytes]] = defaultdict(list)
    for row in page:
        states[row[0]].append(row[-1])  # type: ignore[arg-type]  # the last column is the state
    for start, total in totals.items():
        if start in states:
            segments.absorb(total, add(states[start], measures), measures)


async def read_segments(
    session: Session, scope: Scope, size: Size, windows: Sequence[Window], after: tuple[object, ...] = ()
) -> Sequence[Sequence[object]]:
    """The next segments of base windows, after that of a key: window, partition, part and state."""
    starts = [window.start for window in windows]
    key = after or (_BEFORE_ALL, 0, 0)
    return await session.fetch(_SQL["read_segments"], scope.topic, starts, *key, _PAGE)


async def read_smaller(
    session: Session, scope: Scope, size: Size, windows: Sequence[Window], after: tuple[object, ...] = ()
) -> Sequence[Sequence[object]]:
    """The next rows of the next smaller size, after one: the larger window, its own start, and its state."""
    sql = _SQL["read_smaller"].format(table=queries.identifiers([scope.feed.table]))
    starts = [window.start for window in windows]
    last = after[1] if after else _BEFORE_ALL
    return await session.fetch(sql, size.smaller_s[-1], starts, size.window_s, last, _PAGE)


def unite(scope: Scope, size: Size, windows: Sequence[Window], states: Mapping[datetime, Segment]) -> list[United]:
    """The row of each window, and its state."""
    measures = scope.feed.measures
    core.settle([states[window.start].values for window in windows], measures)
    united = []
    for window in windows:
        values = states[window.start].values
        row = {
            "window_start": window.start,
            "window_seconds": size.window_s,
            "closed": window.closes,
            **scope.feed.row(values, size.window_s),
        }
        united.append(United(window, values, row, segments.encode(Segment(values), measures)))
    return united


async def write_rows(session: Session, scope: Scope, united: Sequence[United]) -> set[datetime]:
    """Publish the rows that changed, or whose lists are behind; returns the starts of their windows."""
    columns = [name for name in united[0].row if name not in ("window_start", "window_seconds", "closed")]
    sql = _SQL["write_rows"].format(
        table=queries.identifiers([scope.feed.table]),
        columns=queries.identifiers(columns),
        old=queries.identifiers(columns, "old."),
        new=queries.identifiers(columns, "excluded."),
    )
    starts = [one.window.start for one in united]
    states, lists = [one.state for one in united], [one.window.lists for one in united]
    written = await session.fetch(sql, orjson.dumps([one.row for one in united]).decode(), starts, states, lists)
    return {row["window_start"] for row in written}


async def mark_again(session: Session, scope: Scope, size: Size, starts: Sequence[datetime]) -> None:
    """Leave marks for the lists that were left out, due when they may be written."""
    sql = _SQL["mark_again"].format(table=queries.identifiers([scope.feed.table]))
    await session.execute(sql, scope.topic, size.window_s, list(starts), scope.pace.tops_every_s)


async def mark_larger(session: Session, scope: Scope, larger_s: int, starts: Iterable[datetime]) -> None:
    """Mark the larger windows of rows that changed."""
    await session.execute(_SQL["mark_larger"], scope.topic, larger_s, list(starts), scope.pace.larger_every_s)
