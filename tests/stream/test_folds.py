"""Folds: partitions side by side, batches of one in their order, never too many in hand."""

import asyncio
from collections import defaultdict

import pytest

from kpi_app.stream.bend import Batch, Records
from kpi_app.stream.folds import UNDER_WAY, Folds


class Slow:
    """A fold whose batches end when the test says so."""

    def __init__(self) -> None:
        self.began: list[tuple[int, int]] = []
        self.running: defaultdict[int, int] = defaultdict(int)
        self.may_end = asyncio.Semaphore(0)
        self.one_began = asyncio.Condition()

    async def __call__(self, partition: int, batch: Batch) -> None:
        assert batch.start is not None
        self.began.append((partition, batch.start))
        self.running[partition] += 1
        assert self.running[partition] == 1
        async with self.one_began:
            self.one_began.notify_all()
        await self.may_end.acquire()
        self.running[partition] -= 1

    async def until_began(self, batches: int) -> None:
        async with self.one_began:
            await self.one_began.wait_for(lambda: len(self.began) >= batches)


async def test_partitions_fold_side_by_side_and_each_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch waits for the earlier ones of its partition and for no other's."""
    monkeypatch.setattr("kpi_app.stream.folds.UNDER_WAY", 3)
    slow = Slow()
    async with asyncio.timeout(10), Folds(slow) as folds:
        for partition, start in ((0, 1), (0, 2), (1, 1)):
            await folds.add(partition, Batch(start, Records()))
        await slow.until_began(2)
        assert slow.began == [(0, 1), (1, 1)]
        for _ in range(3):
            slow.may_end.release()
        await slow.until_began(3)
        assert slow.began[2] == (0, 2)


async def test_who_adds_waits_while_many_are_under_way() -> None:
    """faust's queue fills up, and no more is fetched than it takes: memory stays bounded."""
    slow = Slow()
    async with asyncio.timeout(10), Folds(slow) as folds:
        for partition in range(UNDER_WAY):
            await folds.add(partition, Batch(0, Records()))
        one_more = asyncio.create_task(folds.add(UNDER_WAY, Batch(0, Records())))
        await slow.until_began(UNDER_WAY)
        assert not one_more.done()
        slow.may_end.release()
        await one_more


async def test_the_end_of_the_stream_ends_what_is_under_way() -> None:
    """A worker that stops waits for no fold."""
    slow = Slow()
    async with asyncio.timeout(10):
        async with Folds(slow) as folds:
            await folds.add(0, Batch(0, Records()))
            await folds.add(0, Batch(1, Records()))
        assert len(slow.began) <= 1


async def test_it_is_calm_while_nothing_is_under_way() -> None:
    """Merges wait for it."""
    slow = Slow()
    async with asyncio.timeout(10), Folds(slow) as folds:
        assert folds.calm.is_set()
        for start in (1, 2):
            await folds.add(0, Batch(start, Records()))
        await slow.until_began(1)
        slow.may_end.release()
        await slow.until_began(2)
        assert not folds.calm.is_set()
        slow.may_end.release()
        await folds.calm.wait()
