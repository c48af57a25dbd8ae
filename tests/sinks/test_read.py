"""Read: what pages and the demo are told."""

from datetime import datetime
from typing import Any

from kpi_app.feeds.access import ACCESS
from kpi_app.sinks import read
from tests.sinks.owner import TOPIC, Owner
from tests.sinks.store import Store, at, settle


async def test_windows_are_the_latest_of_a_span_oldest_first(store: Store) -> None:
    """A page asks for a span of one size, and gets no more than it can show."""
    sink = await store.sink()
    await sink.flush(Owner().read(*range(0, 600, 60)).checkpoint())
    await settle(sink)

    async def starts(size_s: int, *span: Any) -> list[datetime]:
        return [row["window_start"] for row in await read.windows(sink.database, ACCESS, size_s, *span)]

    assert await starts(60) == [at(time_s) for time_s in range(0, 600, 60)]
    assert await starts(60, at(120), at(240)) == [at(120), at(180)]
    assert await starts(60, at(120), None, 2) == [at(480), at(540)]
    assert await starts(3_600) == []
    row = (await read.windows(sink.database, ACCESS, 60, limit=1))[0]
    assert (row["requests"], row["closed"]) == (1, False)


async def test_ledger_shows_each_partition_that_is_expected(store: Store) -> None:
    """Partitions that were never read are there, too; idle is what counts as idle now."""
    sink = await store.sink(lease_s=0)
    await sink.expect(TOPIC, 2)
    await sink.flush(Owner(1).read(1, 2).checkpoint(idle=True))
    books = await read.ledger(sink.database, TOPIC)
    assert [(book["partition"], book["next_offset"], book["idle"]) for book in books] == [(0, 0, False), (1, 2, False)]
    assert books[1]["watermark"] == at(2)
    sink = await store.sink(lease_s=60)
    await sink.flush(Owner(1).read(1, 2).checkpoint(idle=True))
    assert (await read.ledger(sink.database, TOPIC))[1]["idle"]


async def test_settled_is_all_merged_and_all_closed(store: Store) -> None:
    """The demo waits until nothing is left to merge and nothing to close."""
    sink, owner = await store.sink(), Owner()
    await sink.flush(owner.read(1).checkpoint())
    assert not await read.is_settled(sink.database, ACCESS, TOPIC)
    await settle(sink)
    assert not await read.is_settled(sink.database, ACCESS, TOPIC)
    await sink.flush(owner.checkpoint(idle=True))
    assert not await read.is_settled(sink.database, ACCESS, TOPIC)
    await settle(sink)
    assert await read.is_settled(sink.database, ACCESS, TOPIC)
