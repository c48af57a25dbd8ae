"""Flush: a partition's committed checkpoint comes to Postgres, in one transaction.

    lock_ledger -> write_segments -> mark_windows -> write_files -> write_ledger -> commit

The lock on the ledger row puts all writers of a partition in a line, and `next_offset` in it says who comes too
late. A segment at an offset is the same whoever computed it, so that it does not matter which of them wrote it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice

from kpi_app.core.ranges import Ranges
from kpi_app.core.seen import File, SeenFile
from kpi_app.core.windows import utc, utc_us
from kpi_app.errors import StopWorker
from kpi_app.sinks import queries
from kpi_app.sinks.base import Flush, StoredSegment
from kpi_app.sinks.connect import Session

_SQL = queries.load("flush")

#: Segments a statement; more gained nothing, and each one is held in memory twice.
_CHUNK = 1_000
#: Files a statement: one has up to 1,024 stretches, some 25 kB of text.
_FILES_CHUNK = 50


async def open_ledgers(session: Session, topic: str, partitions: Iterable[int]) -> None:
    """Open the books of partitions that have none yet."""
    await session.execute(_SQL["open_ledger"], topic, list(partitions))


async def write_checkpoint(session: Session, flush: Flush, window_s: int, lease_s: float) -> int:
    """Bring a checkpoint to Postgres, within the caller's transaction; returns the greatest offset held there now.

    An idle partition counts as idle for `lease_s` seconds. Where Postgres was set back nothing is written. Raises
    `StopWorker` when it holds less than what the state has dropped already.
    """
    held, lines = await lock_ledger(session, flush)
    offset = flush.ledger.next_offset - 1
    if held < flush.dropped:
        raise StopWorker(
            f"Postgres was set back: it holds {flush.topic}/{flush.partition} up to offset {held}, but had it up to "
            f"{flush.flushed}, and the state has dropped what was there up to {flush.dropped}. Restore a later state "
            "of the database, or begin again with `kpi reset`"
        )
    if held < flush.flushed:
        return held  # the state still has all that is missing
    if offset < held:
        return held  # someone is ahead: whatever is in this checkpoint is there already, or newer
    if offset == held:
        await renew_idle(session, flush, lease_s)
        return held
    if flush.ledger.lines < lines:
        raise StopWorker(
            f"the state of {flush.topic}/{flush.partition} was set back: it has {flush.ledger.lines} lines up to "
            f"offset {offset}, Postgres {lines} up to {held}. Was the changelog topic deleted? Begin again with "
            "`kpi reset`"
        )
    windows = await write_segments(session, flush, held)
    await mark_windows(session, flush, windows, window_s)
    await write_files(session, flush, held)
    await write_ledger(session, flush, lease_s)
    return offset


async def lock_ledger(session: Session, flush: Flush) -> tuple[int, int]:
    """Lock the partition's books; returns the greatest offset that they cover, -1 for none, and their lines."""
    books = await session.fetch(_SQL["lock_ledger"], flush.topic, flush.partition)
    if not books:
        await open_ledgers(session, flush.topic, [flush.partition])
        books = await session.fetch(_SQL["lock_ledger"], flush.topic, flush.partition)
    return int(books[0]["next_offset"]) - 1, int(books[0]["lines"])


async def renew_idle(session: Session, flush: Flush, lease_s: float) -> None:
    """Say whether the partition is idle; nothing else can have changed at the same offset."""
    await session.execute(_SQL["renew_idle"], flush.topic, flush.partition, flush.idle, lease_s)


async def write_segments(session: Session, flush: Flush, held: int) -> set[datetime]:
    """Write what changed after offset `held`; returns the starts of the windows it is in."""
    windows: set[datetime] = set()
    segments = iter(flush.since(held))
    while chunk := list(islice(segments, _CHUNK)):
        starts = [utc(segment.key.window_start_s) for segment in chunk]
        windows.update(starts)
        await session.execute(_SQL["write_segments"], flush.topic, flush.partition, starts, *_columns(chunk))
    return windows


def _columns(chunk: list[StoredSegment]) -> tuple[list[int], list[int], list[int], list[bytes]]:
    return (
        [segment.key.part for segment in chunk],
        [segment.offset for segment in chunk],
        [segment.requests for segment in chunk],
        [segment.state for segment in chunk],
    )


async def mark_windows(session: Session, flush: Flush, windows: set[datetime], window_s: int) -> None:
    """Append the windows to those that are to be merged."""
    await session.execute(_SQL["mark_windows"], flush.topic, window_s, list(windows))


async def write_files(session: Session, flush: Flush, held: int) -> None:
    """Write what came of files after offset `held`, and forget what the state has forgotten."""
    changed = [each for each in flush.files.changed if each.touched > held]
    for start in range(0, len(changed), _FILES_CHUNK):
        chunk = changed[start : start + _FILES_CHUNK]
        await session.execute(_SQL["write_files"], flush.topic, flush.partition, *_columns_of(chunk))
    if changed:
        await session.execute(_SQL["forget_files"], flush.topic, flush.partition, flush.files.kept_from)


def _columns_of(files: Sequence[SeenFile]) -> list[Sequence[object]]:
    return [
        *([each.file[column] for each in files] for column in range(len(File._fields))),
        [each.touched for each in files],
        [each.first for each in files],
        [each.end for each in files],
        [each.below for each in files],
        [_multirange(each.arrived) for each in files],
    ]


def _multirange(ranges: Ranges) -> str:
    """As Postgres reads it."""
    pieces = ",".join(f"[{start},{end})" for start, end in ranges)
    return f"{{{pieces}}}"


async def write_ledger(session: Session, flush: Flush, lease_s: float) -> None:
    """Write the books as of the checkpoint."""
    books = flush.ledger
    await session.execute(
        _SQL["write_ledger"],
        flush.topic,
        flush.partition,
        books.next_offset,
        books.lines,
        books.counted,
        books.rejected,
        books.late_dropped,
        books.duplicates,
        books.lost_offsets,
        _time(books.watermark_us),
        _time(books.passed_us),
        flush.idle,
        lease_s,
    )


def _time(epoch_us: int | None) -> datetime | None:
    return None if epoch_us is None else utc_us(epoch_us)
