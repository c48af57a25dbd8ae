"""Situations that one mechanism of the protocol is there for. Each must come out exact with all of them in place.

All lines of a scenario are told one by one: `at(0, 101)` is a line of partition 0 in the window [100, 110).
"""

from kpi_app.stream.bend.stop import EXIT_CODE
from tests.exactness.lines import Record, at, in_a_file
from tests.exactness.orders import ENDED, Step
from tests.exactness.rig import Rig
from tests.exactness.workers import until

UNREADABLE = Record(0, b"nobody can read this", 0)

_TABLES = ("ingest_ledger", "segment", "dirty_window", "access_kpi")


async def a_zombie_commits_late(rig: Rig, *patches: str) -> None:
    """Frozen with a checkpoint in hand, it wakes up when another has gone on.

    zombie     100 · 101 ─frozen────────────────────▶ commits 100 101
    successor              101 · 102 · 112 ─────────────────────────▶ 113 · killed
    empty disk                                                                103
    """
    zombie = rig.start(patches=patches)
    await rig.send([at(0, 100)])
    await rig.exact()
    await zombie.arm(Step("checkpoint: begun", "freeze"), Step("checkpoint: committed"))
    await rig.send([at(0, 101)])
    await zombie.reached("checkpoint: begun")
    await rig.expire_members()
    successor = rig.start(patches=patches)
    for event_s in (102, 112):
        await rig.send([at(0, event_s)])
        await rig.exact()
    zombie.thaw()
    assert await rig.ended(zombie) == (ENDED if patches else EXIT_CODE)
    await rig.send([at(0, 113)])
    await rig.exact()
    await rig.kill(successor)
    rig.start(patches=patches)
    await rig.send([at(0, 103)])
    await rig.exact()


async def an_end_in_mid_transaction(rig: Rig, *patches: str) -> None:
    """The segments are sent, nothing is committed."""
    worker = rig.start(Step("checkpoint: segments sent"), patches=patches)
    await rig.send([at(0, 100), at(0, 111)])
    assert await rig.ended(worker) == ENDED
    rig.start(patches=patches)
    await rig.exact()


async def an_end_behind_the_files(rig: Rig, *patches: str) -> None:
    """Segments and files are sent, nothing is committed. Then all is, and a line comes again to the next owner."""
    worker = rig.start(Step("checkpoint: files sent"), patches=patches)
    await rig.send([in_a_file(at(0, 100), 0)])
    assert await rig.ended(worker) == ENDED
    successor = rig.start(patches=patches)
    await rig.exact()
    await rig.kill(successor)
    rig.start(patches=patches)
    await rig.send([in_a_file(at(0, 100), 0), in_a_file(at(0, 100), 500)])
    await rig.exact()


async def an_end_before_the_dead_letters(rig: Rig, *patches: str) -> None:
    """Segments and books are sent, the dead letters of the same checkpoint are not."""
    worker = rig.start(Step("checkpoint: books sent"), patches=patches)
    await rig.send([at(0, 100), UNREADABLE])
    assert await rig.ended(worker) == ENDED
    rig.start(patches=patches)
    await rig.exact()


async def an_end_behind_the_dead_letters(rig: Rig, *patches: str) -> None:
    """All is sent, nothing is committed."""
    worker = rig.start(Step("checkpoint: dead letters sent"), patches=patches)
    await rig.send([at(0, 100), UNREADABLE])
    assert await rig.ended(worker) == ENDED
    rig.start(patches=patches)
    await rig.exact()


async def a_return_to_an_old_disk(rig: Rig, *patches: str) -> None:
    """It ended between Kafka's commit and its table; another went on meanwhile, elsewhere.

    disk 1     100 · 101 committed ✗                   103
    disk 2                           101 · 112 · killed
    """
    first = rig.start(patches=patches)
    await rig.send([at(0, 100)])
    await rig.exact()
    await first.arm(Step("checkpoint: committed"))
    await rig.send([at(0, 101)])
    assert await rig.ended(first) == ENDED
    second = rig.start(patches=patches)
    await rig.send([at(0, 112)])
    await rig.exact()
    await rig.kill(second)
    rig.start(disk=first.order.disk, patches=patches)
    await rig.send([at(0, 103)])
    await rig.exact()


async def a_disk_from_before_a_reset(rig: Rig, *patches: str) -> None:
    """All is forgotten and counted again elsewhere; then the old disk comes back, its changelog's name in use again.

    disk 1     100 · reset                                103
    disk 2                100 101 · 112 · killed
    """
    first = rig.start(patches=patches)
    await rig.send([at(0, 100)])
    await rig.exact()
    await rig.kill(first)
    await rig.send([at(0, 101)])
    second = rig.start(Step("take-over: fenced"), patches=patches)  # `kpi reset` is run where this one will be
    assert await rig.ended(second) == ENDED
    await rig.reset(second)
    # both lines in one checkpoint, or the old disk would be brought up to date by the second one
    second = rig.start(disk=second.order.disk, patches=patches, emit_every_s=2.0)
    await rig.exact()
    await rig.send([at(0, 112)])
    await rig.exact()
    await rig.kill(second)
    rig.start(disk=first.order.disk, patches=patches)
    await rig.send([at(0, 103)])
    await rig.exact()


async def group_offsets_set_to_the_end(rig: Rig, *patches: str) -> None:
    """Somebody moves the group's offsets past lines that were never read."""
    worker = rig.start(patches=patches)
    await rig.send([at(0, 100)])
    await rig.exact()
    await rig.kill(worker)
    await rig.send([at(0, 101), at(0, 102)])
    await rig.set_group_offsets({0: 3})
    rig.start(disk=worker.order.disk, patches=patches)
    await rig.send([at(0, 103)])
    await rig.exact()


async def a_lost_batch(rig: Rig, *patches: str) -> None:
    """A fetched batch never arrives at the fold, as faust loses one when it clears its streams' queues."""
    worker = rig.start(Step("fold: batch arrives", "lose"), patches=patches)
    await rig.send([at(0, 100)])
    await worker.reached("fold: batch arrives")
    await rig.send([at(0, 101)])
    await rig.exact()


async def a_repeated_batch(rig: Rig, *patches: str) -> None:
    """A batch arrives at the fold twice, as after a seek back over lines that are on their way already."""
    worker = rig.start(patches=patches)
    await rig.send([at(0, 100)])
    await rig.exact()
    await worker.arm(Step("fold: batch arrives", "repeat"))
    await rig.send([at(0, 101)])
    await worker.reached("fold: batch arrives")
    await rig.send([at(0, 102)])
    await rig.exact()


async def a_flush_that_comes_too_late(rig: Rig, *patches: str) -> None:
    """Frozen with a committed checkpoint on its way to Postgres, it wakes up when another has flushed more."""
    zombie = rig.start(patches=patches)
    await rig.send([at(0, 100)])
    await rig.exact()
    await zombie.arm(Step("flush: about to begin", "freeze"), Step("flush: committed"))
    await rig.send([at(0, 101)])
    await zombie.reached("flush: about to begin")
    await rig.expire_members()
    rig.start(patches=patches)
    await rig.send([at(0, 102)])
    await rig.exact()
    zombie.thaw()
    assert await rig.ended(zombie) == ENDED
    await rig.send([at(0, 103)])
    await rig.exact()


async def two_flushes_at_once(rig: Rig, *patches: str) -> None:
    """Frozen with the ledger locked, it lets the next owner wait."""
    zombie = rig.start(patches=patches)
    await rig.send([at(0, 100)])
    await rig.exact()
    await zombie.arm(Step("flush: ledger locked", "freeze"), Step("flush: committed"))
    await rig.send([at(0, 101)])
    await zombie.reached("flush: ledger locked")
    await rig.expire_members()
    rig.start(patches=patches)
    await rig.send([at(0, 102)])

    async def came_to_postgres() -> bool:
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(await rig.database.fetchval(waits)) or (await rig.books())[0]["next_offset"] == 3

    await until("the second flush", came_to_postgres)
    zombie.thaw()
    assert await rig.ended(zombie) == ENDED
    await rig.send([at(0, 103)])
    await rig.exact()


async def a_flush_during_a_merge(rig: Rig, *patches: str) -> None:
    """A merge has read a window; before it has written the row, more of the window is flushed."""
    worker = rig.start(patches=patches)
    await rig.send([at(0, 100)])
    await rig.exact()
    await worker.arm(Step("merge: segments read", "hold"))
    await rig.send([at(0, 101)])
    await worker.reached("merge: segments read")
    await rig.send([at(0, 102)])
    await rig.flushed()
    await worker.let_go("merge: segments read")
    await rig.exact()


async def two_merges_at_once(rig: Rig, *patches: str) -> None:
    """A merge that closes a window has read it; another worker finds a late line of it and merges it, too.

    slow merge     reads 100 ────────────────────────────▶ writes 100
    quick merge                 reads 100 101, writes them
    """
    patches = (*patches, "one_window_a_merge")
    slow = rig.start(patches=patches)
    await rig.send([at(0, 100)])
    await rig.exact()
    quick = rig.start(Step("merge: about to begin", "hold"), Step("merge: over", "hold"), patches=patches)
    await quick.reached("merge: about to begin")
    await slow.arm(Step("merge: segments read", "hold"), Step("merge: over", "note"))
    await rig.send([at(0, 120)])
    await slow.reached("merge: segments read")
    await rig.send([at(0, 101)])
    await rig.flushed()
    await quick.let_go("merge: about to begin")
    await quick.reached("merge: over")
    await slow.let_go("merge: segments read")
    await slow.reached("merge: over")
    await quick.let_go("merge: over")
    await rig.exact()


async def windows_close_while_postgres_lags(rig: Rig, *patches: str) -> None:
    """A flush hangs while the lines of its window, and then of much later ones, are folded."""
    worker = rig.start(patches=patches)
    await rig.send([at(0, 100)])
    await rig.exact()
    await worker.arm(Step("flush: about to begin", "hold"))
    await rig.send([at(0, 101)])
    await worker.reached("flush: about to begin")
    await rig.send([at(0, 102)])
    await rig.checkpointed()
    await rig.send([at(0, 150)])
    await rig.checkpointed()
    await worker.let_go("flush: about to begin")
    await rig.exact()


async def a_restored_backup(rig: Rig, *patches: str) -> None:
    """Postgres is set back to before a flush that the state has dropped its segments for."""
    worker = rig.start(patches=patches)
    await rig.send([at(0, 100)])
    await rig.exact()
    for table in _TABLES:
        await rig.database.execute(f"CREATE TABLE backup_{table} AS TABLE {table}")
    await worker.arm(Step("checkpoint: drops in the table", "note"))
    await rig.send([at(0, 101), at(0, 150)])
    await rig.exact()
    await worker.reached("checkpoint: drops in the table")
    async with rig.database.transaction():
        for table in _TABLES:
            await rig.database.execute(f"DELETE FROM {table}")  # noqa: S608  names of ours
            await rig.database.execute(f"INSERT INTO {table} TABLE backup_{table}")
    await rig.send([at(0, 151)])
    await rig.exact()
