"""Merge, disturbed: no mark is lost, no window stays open, no two workers stand in each other's way."""

import asyncio

import pytest

from kpi_app.errors import SinkBusy
from kpi_app.sinks import merge as steps
from tests.sinks.gate import Gate, after
from tests.sinks.owner import Owner
from tests.sinks.store import Store, settle

STEPS = ["lock_windows", "take_marks", "read_segments", "write_rows"]


@pytest.mark.parametrize("step", ["take_marks", "read_segments", "write_rows"])
async def test_mark_that_comes_during_a_merge_is_not_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Lines that are flushed while their window is merged are in its row after the next merge."""
    # merge   lock . take . read . write . commit
    # flush       ^      ^      ^   (one of them)
    sink, owner = await store.sink(), Owner()
    await sink.flush(owner.read(1).checkpoint())
    gate = Gate(monkeypatch, f"merge.{step}")
    merging = asyncio.create_task(sink.merge())
    await gate.reached()
    await sink.flush(owner.read(2, 3).checkpoint())
    gate.open()
    await merging
    await settle(sink)
    assert (await store.rows())[0]["requests"] == 3


@pytest.mark.parametrize("step", ["take_marks", "read_segments", "write_rows"])
async def test_window_that_is_passed_during_its_merge_is_closed_by_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A merge that has read the ledger before the watermark moved leaves the window to the next one.

    The flush that moves it writes nothing to the window, and does not see its row, which is not committed yet: a
    flush that looked for rows to mark would find none.
    """
    sink, owner = await store.sink(), Owner()
    await sink.flush(owner.read(1).checkpoint())
    gate = Gate(monkeypatch, f"merge.{step}")
    merging = asyncio.create_task(sink.merge())
    await gate.reached()
    await sink.flush(owner.read(120).checkpoint())
    gate.open()
    await merging
    assert not (await store.rows())[0]["closed"]
    await settle(sink)
    row = (await store.rows())[0]
    assert (row["closed"], row["revision"]) == (True, 0)


@pytest.mark.parametrize("step", ["take_marks", "read_segments", "write_rows"])
async def test_closed_row_never_lacks_lines_of_the_offsets_that_closed_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A flush that brings lines of a window and passes it in one is no correction, whenever it comes."""
    sink, owner = await store.sink(), Owner()
    await sink.flush(owner.read(1).checkpoint())
    gate = Gate(monkeypatch, f"merge.{step}")
    merging = asyncio.create_task(sink.merge())
    await gate.reached()
    await sink.flush(owner.read(2, 120).checkpoint())
    gate.open()
    await merging
    row = (await store.rows())[0]
    assert row["requests"] == 2 or not row["closed"]
    await settle(sink)
    row = (await store.rows())[0]
    assert (row["requests"], row["closed"], row["revision"]) == (2, True, 0)


async def test_row_closes_though_the_merge_that_made_it_saw_an_expired_lease(store: Store) -> None:
    """Idleness that ends and comes back delays a closing, and no more."""
    sink, owner = await store.sink(), Owner()
    expired = await store.sink(lease_s=0)
    await expired.flush(owner.read(1).checkpoint(idle=True))
    await settle(sink)
    assert not (await store.rows())[0]["closed"]
    await sink.flush(owner.checkpoint(idle=True))
    await settle(sink)
    assert (await store.rows())[0]["closed"]


@pytest.mark.parametrize("step", STEPS)
async def test_merge_that_is_cut_off_after_a_step_is_done_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A merge whose connection breaks has done nothing: marks and rows are as before."""
    sink = await store.sink()
    await sink.flush(Owner().read(1, 120).checkpoint())
    with monkeypatch.context() as patch:
        after(patch, f"merge.{step}", store.end_sessions)
        with pytest.raises(SinkBusy):
            await sink.merge()
    assert await store.rows() == {}
    assert await store.eye.fetchval("SELECT count(*) FROM dirty_window") == 2
    await settle(sink)
    assert list(await store.rows()) == [0, 120]


async def test_two_workers_share_the_windows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one worker is merging the other passes over, without waiting, for what comes next."""
    monkeypatch.setattr(steps, "WINDOWS", 30)
    first, second = await store.sink(), await store.sink()
    await first.flush(Owner().read(*range(0, 3_000, 60)).checkpoint())
    gate = Gate(monkeypatch, "merge.write_rows")
    held = asyncio.create_task(first.merge())
    await gate.reached()
    assert await second.merge() == 20
    assert await second.merge() == 0
    assert len(await store.rows()) == 20
    gate.open()
    assert await held == 30
    rows = (await store.rows()).values()
    assert sum(row["requests"] for row in rows) == len(rows) == 50
