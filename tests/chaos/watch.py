"""Looks at the database all the time: what must hold in every state, and when a fault has been got over."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

import asyncpg

from tests.exactness.workers import until

_LOOK_EVERY_S = 0.2
#: A ledger that has all that was acknowledged so long ago is not behind: lines gather for up to a second, and
#: checkpoints come every second.
_LAG_S = 4.0
#: Not to be got over within this time is a fault of the product.
PATIENCE_S = 180.0
#: Of what is told of broken states, this much is kept.
_KEPT = 20

_DIFFERENCES = "SELECT * FROM conservation WHERE difference <> 0"
_OFFSETS = "SELECT partition, next_offset FROM ingest_ledger"
_CLOSED = "SELECT count(*) FROM access_kpi WHERE closed"
_BASE = "SELECT windows[1] FROM kpi_feed"

_GONE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class State(NamedTuple):
    """What one look saw."""

    at_s: float
    offsets: Mapping[int, int]
    #: Lines in the ledger that are not in the rows of the smallest windows.
    unmerged: int


class Watch:
    """Use as `async with`. `ends` tells what the broker has acknowledged, `whole` whether all workers are at work."""

    def __init__(self, dsn: str, ends: Callable[[], Mapping[int, int]], whole: Callable[[], bool]) -> None:
        self._dsn = dsn
        self._ends = ends
        self._whole = whole
        self._connection: Any = None
        self._state: State | None = None
        self._history: deque[tuple[float, Mapping[int, int]]] = deque()
        self._closed = 0
        self._watching = asyncio.Event()
        self._watching.set()
        self._between = asyncio.Lock()
        self.looks = 0
        #: What was seen and must never be.
        self.broken: list[str] = []

    async def __aenter__(self) -> "Watch":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._drop()

    async def got_over(self) -> float:
        """Seconds from now until all lines are in the rows, nobody is behind, and each worker has its partitions.

        Raises `Unmet`.
        """
        since_s, target = monotonic(), self._ends()

        async def probe() -> State | None:
            if self._task.done():
                self._task.result()
            state = self._state
            if state is None or state.at_s < since_s or state.unmerged or not self._whole():
                return None
            return state if _covers(state.offsets, target) and _covers(state.offsets, self._recent()) else None

        state = await until("all lines in their rows and all workers at work", probe, PATIENCE_S)
        return state.at_s - since_s

    async def pause(self) -> None:
        """Look away, while all that was counted is forgotten."""
        self._watching.clear()
        async with self._between:
            self._state, self._closed = None, 0

    def resume(self) -> None:
        """Look again."""
        self._watching.set()

    def _recent(self) -> Mapping[int, int]:
        while len(self._history) > 1 and self._history[1][0] < monotonic() - _LAG_S:
            self._history.popleft()
        return self._history[0][1]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self._watching.wait()
            self._history.append((monotonic(), self._ends()))
            async with self._between:
                try:
                    await self._look()
                except _GONE:
                    self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _look(self) -> None:
        if self._connection is None:
            self._connection = await asyncpg.connect(
                self._dsn, timeout=5, command_timeout=10, server_settings={"application_name": "chaos"}
            )
        at_s = monotonic()
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            differences = await self._connection.fetch(_DIFFERENCES)
            offsets = dict(await self._connection.fetch(_OFFSETS))
            closed = await self._connection.fetchval(_CLOSED)
            base_s = await self._connection.fetchval(_BASE)
        unmerged = sum(row["difference"] for row in differences if row["window_seconds"] == base_s)
        self._must_hold(differences, offsets, closed)
        self._state = State(at_s, offsets, unmerged)
        self.looks += 1

    def _must_hold(self, differences: list[Any], offsets: Mapping[int, int], closed: int) -> None:
        broken = [
            f"conservation: {dict(row)}"
            for row in differences
            # Rows follow the ledger, they are never ahead of it.
            if row["partition"] is not None or row["difference"] < 0
        ]
        if self._state is not None and not _covers(offsets, self._state.offsets):
            broken.append(f"the ledger went back from {dict(self._state.offsets)} to {dict(offsets)}")
        if closed < self._closed:
            broken.append(f"of {self._closed} closed rows {closed} are left")
        self._closed = max(closed, self._closed)
        new = [line for line in broken if line not in self.broken]
        self.broken += new[: max(0, _KEPT - len(self.broken))]


def _covers(offsets: Mapping[int, int], target: Mapping[int, int]) -> bool:
    return all(offsets.get(partition, 0) >= end for partition, end in target.items())
