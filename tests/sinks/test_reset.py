"""Reset: all that is stored of a feed is forgotten, and nothing else."""

import asyncio
from dataclasses import replace

import pytest

from kpi_app.errors import UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.sinks.reset import reset
from tests.sinks.gate import Gate
from tests.sinks.owner import Owner
from tests.sinks.store import Store, settle


async def test_reset_forgets_everything_of_the_feed(store: Store) -> None:
    """After a reset the feed begins anew, with other settings, too."""
    sink = await store.sink()
    await sink.flush(Owner().read(1, 2).checkpoint())
    await settle(sink)
    await sink.flush(Owner(1).read(1).checkpoint())
    await reset(store.dsn, ACCESS)
    assert await store.stored() == 0
    await store.unopened(topic="other", window_s=10).open()


async def test_it_is_told_which_table_is_next(store: Store) -> None:
    """Each of those that are emptied, with how many of how many are done."""
    told: list[tuple[int, int, str]] = []
    await reset(store.dsn, ACCESS, told=lambda *next_: told.append(next_))
    assert [(done, total) for done, total, _ in told] == [(done, 6) for done in range(6)]
    assert {"segment", "access_kpi", "access_kpi_by"} < {name for _, _, name in told}


async def test_reset_leaves_other_feeds_alone(store: Store) -> None:
    """Tables are shared by feeds: those of another topic stay."""
    sink = await store.sink()
    await store.eye.execute("CREATE TABLE orders_kpi (LIKE access_kpi INCLUDING ALL)")
    await store.eye.execute("CREATE TABLE orders_kpi_by (LIKE access_kpi_by INCLUDING ALL)")
    other = store.unopened(feed=replace(ACCESS, name="orders", table="orders_kpi"), topic="orders")
    await other.open()
    for each, topic in ((sink, "access-log"), (other, "orders")):
        await each.flush(Owner(topic=topic).read(1).checkpoint())
    await settle(sink, other)
    await reset(store.dsn, ACCESS)
    assert await store.eye.fetchval("SELECT count(*) FROM orders_kpi") == 1
    assert await store.eye.fetchval("SELECT topic FROM segment") == "orders"
    assert await store.eye.fetchval("SELECT feed FROM kpi_feed") == "orders"


@pytest.mark.parametrize("step", ["merge.read_segments", "merge.write_rows", "flush.write_segments"])
async def test_reset_and_a_running_worker_do_not_deadlock(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A reset waits for what a worker is in the middle of, and forgets that, too."""
    sink, owner = await store.sink(), Owner()
    await sink.flush(owner.read(1).checkpoint())
    gate = Gate(monkeypatch, step)
    merging = asyncio.create_task(sink.merge())
    flushing = asyncio.create_task(sink.flush(owner.read(2).checkpoint()))
    await gate.reached()
    if step.startswith("merge"):
        await flushing  # it might begin behind the reset, and stay
    resetting = asyncio.create_task(reset(store.dsn, ACCESS))
    await store.until("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
    gate.open()
    await asyncio.gather(merging, flushing)
    await resetting
    assert await store.stored() == 0


async def test_reset_of_an_empty_database_says_what_to_do(database: str) -> None:
    """Where nothing was ever migrated there is nothing to forget."""
    with pytest.raises(UserError, match="kpi migrate"):
        await reset(database, ACCESS)
