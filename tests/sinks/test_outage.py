"""Postgres dies in the middle of things and comes back: nothing is lost, nothing counted twice."""

import asyncio

import asyncpg
import pytest

from kpi_app.errors import SinkBusy
from kpi_app.local.postgres import EmbeddedPostgres
from kpi_app.sinks.migrate import migrate
from tests.sinks.gate import after
from tests.sinks.owner import Owner
from tests.sinks.store import Store, settle


async def test_postgres_that_is_killed_in_mid_flush_and_comes_back(
    breakable_postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Postgres is away the sink is busy; when it is back, the same flush does all of its work."""
    await migrate(breakable_postgres.dsn)
    store = Store(breakable_postgres.dsn, await asyncpg.connect(breakable_postgres.dsn))
    sink, owner = await store.sink(), Owner()
    await sink.flush(owner.read(1).checkpoint())
    flush = owner.read(2, 120).checkpoint()

    async def kill() -> None:
        await asyncio.to_thread(breakable_postgres.kill)

    with monkeypatch.context() as patch:
        after(patch, "flush.write_ledger", kill)
        with pytest.raises(SinkBusy):
            await sink.flush(flush)
    for attempt in (sink.flush(flush), sink.merge(), sink.ping(), sink.open()):
        with pytest.raises(SinkBusy):
            await attempt
    await asyncio.to_thread(breakable_postgres.start)
    store.eye = await asyncpg.connect(breakable_postgres.dsn)
    assert await store.next_offset(0) == 1
    assert await sink.flush(flush) == 2
    await settle(sink)
    assert {start: row["requests"] for start, row in (await store.rows()).items()} == {0: 2, 120: 1}
    assert await store.eye.fetchval("SELECT sum(abs(difference)) FROM conservation") == 0
    await store.close()


async def test_close_ends_within_seconds_while_postgres_is_away(breakable_postgres: EmbeddedPostgres) -> None:
    """A worker stops as fast without Postgres as with it."""
    await migrate(breakable_postgres.dsn)
    store = Store(breakable_postgres.dsn, await asyncpg.connect(breakable_postgres.dsn))
    sink = await store.sink()
    await asyncio.to_thread(breakable_postgres.kill)
    async with asyncio.timeout(6):
        with pytest.raises(SinkBusy):
            await sink.ping()
        await sink.close()
