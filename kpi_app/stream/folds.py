"""Batches of several partitions folded at a time, those of one partition one after the other."""

import asyncio
from collections.abc import Awaitable, Callable

from kpi_app.stream.bend import Batch

#: Batches under way at once: of two partitions, as these come in turn. More are no faster, and take more memory. They
#: keep the processors busy by themselves: their queries do one expression after the other (polars' `select_seq`), as to
#: hand these out to threads costs more than most of them take.
UNDER_WAY = 2


class Folds:
    """Hands batches to `fold(partition, batch)`; `async with` ends what is still under way."""

    def __init__(self, fold: Callable[[int, Batch], Awaitable[None]]) -> None:
        self._fold = fold
        self._slots = asyncio.Semaphore(UNDER_WAY)
        self._turns: dict[int, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = 0
        #: By partition, which batch is being folded now: its number in the order in which they began.
        self.under_way: dict[int, int] = {}
        #: Set while nothing is under way.
        self.calm = asyncio.Event()
        self.calm.set()

    async def __aenter__(self) -> "Folds":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def add(self, partition: int, batch: Batch) -> None:
        """Have a batch folded after the earlier ones of its partition; waits while too many are under way."""
        await self._slots.acquire()
        self.calm.clear()
        task = asyncio.create_task(self._in_turn(partition, batch))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _in_turn(self, partition: int, batch: Batch) -> None:
        async with self._turns.setdefault(partition, asyncio.Lock()):  # wakes those who wait in their order
            self._begun += 1
            self.under_way[partition] = self._begun
            try:
                await self._fold(partition, batch)
            finally:
                del self.under_way[partition]

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self.calm.set()
        self._slots.release()
