"""Expire: windows that are older than KPI_KEEP are dropped, a whole window of the largest size at a time.

    move_horizon . commit . drop_lists . commit . drop_rows . commit . lock_books -> drop_segments . commit

First the horizon says what is dropped: from then on no merge writes a row before it, and `conservation` does not
look there. Then it goes, some of it a transaction; whatever is left when one does not come through is found again.
Lines that come later for such a window make segments as any others do. They go once they are sealed: no flush
brings them again then, so that `expired` in the books has each of their lines once.
"""

from datetime import datetime

from kpi_app.core.segment import LATE_BLOCK
from kpi_app.sinks import queries
from kpi_app.sinks.claim import Scope, lock_feed, read_feed
from kpi_app.sinks.compact import lock_books
from kpi_app.sinks.connect import Session

_SQL = queries.load("expire")

#: Rows of a kind that a transaction deletes.
_ROWS = 10_000


async def expire_some(session: Session, scope: Scope) -> int:
    """Drop some of what is too old, within the caller's transaction; returns how much, 0 when nothing is left."""
    held = await read_feed(session, scope.feed)
    if held is None:
        return 0
    if scope.keep_s is not None:
        horizon = await find_horizon(session, scope, held.windows_s)
        if horizon is not None and (held.expired_before is None or held.expired_before < horizon):
            return await move_horizon(session, scope)
    if held.expired_before is None:
        return 0
    return (
        await drop_lists(session, scope, held.expired_before)
        or await drop_rows(session, scope, held.expired_before)
        or await drop_segments(session, scope, held.expired_before)
    )


async def find_horizon(session: Session, scope: Scope, windows_s: tuple[int, ...]) -> datetime | None:
    """The start of the first of the largest windows that is to stay; None as long as that is not known."""
    sql = _SQL["find_horizon"].format(table=queries.identifiers([scope.feed.table]))
    horizon: datetime | None = await session.value(
        sql, scope.topic, list(windows_s), windows_s[-1], scope.keep_s, scope.grace_s
    )
    return horizon


async def move_horizon(session: Session, scope: Scope) -> int:
    """Say what is dropped. Waits for merges: none that goes by the old horizon may write a row after this."""
    await lock_feed(session, scope.feed)
    held = await read_feed(session, scope.feed)  # as it is behind the lock
    horizon = held and await find_horizon(session, scope, held.windows_s)
    if horizon is None:
        return 0
    await session.execute(_SQL["move_horizon"], scope.feed.name, horizon)
    return 1


async def drop_lists(session: Session, scope: Scope, horizon: datetime) -> int:
    """Delete some rows of top lists."""
    if scope.feed.tops is None:
        return 0
    return await _drop(session, f"{scope.feed.table}_by", horizon)


async def drop_rows(session: Session, scope: Scope, horizon: datetime) -> int:
    """Delete some rows of all sizes."""
    return await _drop(session, scope.feed.table, horizon)


async def _drop(session: Session, table: str, horizon: datetime) -> int:
    sql = _SQL["drop_rows"].format(table=queries.identifiers([table]))
    return int(await session.value(sql, horizon, _ROWS))


async def drop_segments(session: Session, scope: Scope, horizon: datetime) -> int:
    """Delete some sealed segments and book their lines as expired."""
    for row in await session.fetch(_SQL["partitions_to_drop"], scope.topic, horizon):
        await lock_books(session, scope, row["partition"])
        dropped = await session.value(
            _SQL["drop_segments"], scope.topic, row["partition"], horizon, scope.window_s, _ROWS, LATE_BLOCK
        )
        if dropped:
            return int(dropped)
    return 0
