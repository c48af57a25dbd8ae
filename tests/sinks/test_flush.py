"""Flush, disturbed: whatever happens between its steps, books and segments agree in every committed state."""

import asyncio

import pytest

from kpi_app.errors import SinkBusy
from kpi_app.sinks import flush as steps
from kpi_app.sinks.connect import Limits
from tests.sinks.gate import Gate, after
from tests.sinks.owner import Owner
from tests.sinks.store import Store, settle

STEPS = ["lock_ledger", "write_segments", "mark_windows", "write_files", "write_ledger"]


@pytest.mark.parametrize("step", STEPS)
async def test_flush_that_is_cut_off_after_a_step_is_all_or_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A flush whose connection breaks leaves no trace, and succeeds when it is tried again."""
    sink, owner = await store.sink(), Owner()
    await sink.flush(owner.read(1).checkpoint())
    flush = owner.read(2, 61).checkpoint()
    with monkeypatch.context() as patch:
        after(patch, f"flush.{step}", store.end_sessions)
        with pytest.raises(SinkBusy):
            await sink.flush(flush)
    assert await store.differences() == []
    assert await store.next_offset(0) == 1
    assert await sink.flush(flush) == 2
    await settle(sink)
    assert [row["requests"] for row in (await store.rows()).values()] == [2, 1]


async def test_error_in_the_state_is_not_taken_for_a_busy_sink(store: Store) -> None:
    """An error that the owner's state raises comes out as it is, and nothing is written."""

    def broken(offset: int) -> list[object]:
        raise OSError("RocksDB's disk")

    sink = await store.sink()
    flush = Owner().read(1).checkpoint()
    object.__setattr__(flush, "since", broken)
    with pytest.raises(OSError, match="RocksDB"):
        await sink.flush(flush)
    assert await store.eye.fetchval("SELECT count(*) FROM ingest_ledger") == 0


async def test_frozen_worker_holds_no_lock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that freezes in mid-flush loses its transaction; its successor waits no longer than that."""
    frozen = await store.sink(limits=Limits(idle_in_transaction_s=0.2))
    successor = await store.sink()
    gate = Gate(monkeypatch, "flush.write_segments")
    late = asyncio.create_task(frozen.flush(Owner().read(1, 2).checkpoint()))
    await gate.reached()
    assert await successor.flush(Owner().read(1, 2, 3).checkpoint()) == 2
    gate.open()
    with pytest.raises(SinkBusy):
        await late
    assert await frozen.flush(Owner().read(1, 2).checkpoint()) == 2  # it learns that someone is ahead
    assert await store.differences() == []


async def test_second_writer_of_a_partition_waits_for_the_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush that meets another one of its partition sees what that one wrote."""
    first, second = await store.sink(), await store.sink()
    await first.expect("access-log", 1)
    gate = Gate(monkeypatch, "flush.write_ledger")
    ahead = asyncio.create_task(first.flush(Owner().read(1, 2, 3).checkpoint()))
    await gate.reached()
    behind = asyncio.create_task(second.flush(Owner().read(1, 2).checkpoint()))
    await store.until(
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    gate.open()
    assert (await ahead, await behind) == (2, 2)
    assert await store.differences() == []


async def test_partitions_do_not_wait_for_each_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushes of two partitions run side by side, on one sink."""
    sink = await store.sink()
    gate = Gate(monkeypatch, "flush.write_ledger")
    held = asyncio.create_task(sink.flush(Owner(0).read(1).checkpoint()))
    await gate.reached()
    assert await sink.flush(Owner(1).read(1).checkpoint()) == 0
    gate.open()
    assert await held == 0


async def test_segments_come_in_chunks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush of more segments than one statement takes is still one transaction."""
    monkeypatch.setattr(steps, "_CHUNK", 7)
    sink = await store.sink()
    await sink.flush(Owner().read(*range(0, 6_000, 60)).checkpoint())
    assert await store.eye.fetchval("SELECT count(*) FROM segment") == 100
    assert await store.eye.fetchval("SELECT count(*) FROM dirty_window") == 100
    assert await store.differences() == []


async def test_lease_is_not_written_anew_before_half_of_it_is_over(store: Store) -> None:
    """An idle partition costs a write now and then, not one a second."""
    sink, owner = await store.sink(lease_s=3_600), Owner()
    await sink.flush(owner.read(1).checkpoint(idle=True))
    before = await store.eye.fetchval("SELECT idle_until FROM ingest_ledger")
    await sink.flush(owner.checkpoint(idle=True))
    assert await store.eye.fetchval("SELECT idle_until FROM ingest_ledger") == before
    await store.eye.execute("UPDATE ingest_ledger SET idle_until = idle_until - interval '40 minutes'")
    await sink.flush(owner.checkpoint(idle=True))
    assert await store.eye.fetchval("SELECT idle_until FROM ingest_ledger") > before


async def test_topic_can_not_reach_the_text_of_a_query(store: Store) -> None:
    """A name from outside is a value, whatever it looks like."""
    hostile = "x'; DROP TABLE segment; --"
    sink = store.unopened(topic=hostile)
    await sink.open()
    await sink.flush(Owner(topic=hostile).read(1).checkpoint())
    await settle(sink)
    assert (await store.rows())[0]["requests"] == 1
    assert await store.eye.fetchval("SELECT topic FROM segment") == hostile
