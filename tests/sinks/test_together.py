"""All at once: owners, successors and merges on many workers, and sessions that end at any moment."""

import asyncio
import random
from collections.abc import Awaitable

import pytest

from kpi_app.errors import SinkBusy
from kpi_app.sinks.postgres import PostgresSink
from tests.sinks.owner import TOPIC, Owner
from tests.sinks.store import Store, settle

PARTITIONS, WORKERS, LINES = 3, 3, 240


async def test_every_line_is_in_its_row_once_whatever_happens_in_between(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a quarter of an hour of event time, with everything at once, the rows add up to the lines."""
    chance = random.Random(7)  # noqa: S311  a test that fails must fail again
    monkeypatch.setattr("kpi_app.sinks.compact.MANY", 2)
    for room in ("core.segment", "core.state", "sinks.compact"):
        monkeypatch.setattr(f"kpi_app.{room}.LATE_BLOCK", 4)
    sinks = [await store.sink(larger_s=(300, 900)) for _ in range(WORKERS)]
    await sinks[0].expect(TOPIC, PARTITIONS)
    united = 0
    times = [sorted(chance.uniform(0, 900) for _ in range(LINES)) for _ in range(PARTITIONS)]
    for log in times:  # some lines are late
        log.extend(chance.uniform(0, 600) for _ in range(100))

    async def own(partition: int, sink: PostgresSink, pace: random.Random) -> None:
        owner, log = Owner(partition), times[partition]
        while (done := owner.state.ledger.lines) < len(log):
            owner.read(*log[done : done + pace.randrange(1, 40)])
            await _try(sink.flush(owner.checkpoint()))
        while not await _try(sink.flush(owner.checkpoint(idle=True))):
            pass

    async def merge(sink: PostgresSink) -> None:
        while not owning.done():
            await _try(sink.merge())
            await _try(tidy(sink))

    async def tidy(sink: PostgresSink) -> None:
        nonlocal united
        united += await sink.tidy()

    async def cut() -> None:
        for lines in range(0, PARTITIONS * LINES, 60):
            await store.until("SELECT sum(next_offset) > $1 FROM ingest_ledger", lines)
            await store.end_sessions()
            assert await store.differences() == []

    # each partition has two owners, a zombie and its successor, on different workers; both bring the same checkpoints,
    # as the broker commits one line of them: a segment is sealed for both once it is for one
    owners = [
        own(n % PARTITIONS, sinks[n % 2 + n // PARTITIONS], random.Random(n % PARTITIONS))  # noqa: S311
        for n in range(2 * PARTITIONS)
    ]
    owning = asyncio.gather(*owners)
    await asyncio.gather(owning, *map(merge, sinks), cut())
    while not await _try(settle(*sinks)):
        pass
    assert united > 0
    rows = await store.rows()
    assert [row["requests"] for row in rows.values()] == [
        sum(start <= time_s < start + 60 for log in times for time_s in log) for start in range(0, 900, 60)
    ]
    assert all(row["closed"] for row in rows.values())
    for size_s in (300, 900):
        larger = await store.rows(size_s)
        assert sum(row["requests"] for row in larger.values()) == sum(map(len, times))
        assert all(row["closed"] for row in larger.values())
    assert await store.eye.fetchval("SELECT sum(abs(difference)) FROM conservation") == 0


async def _try(step: Awaitable[object]) -> bool:
    """Whether it was done; a busy sink is tried again by the caller."""
    try:
        await step
    except SinkBusy:
        return False
    return True
