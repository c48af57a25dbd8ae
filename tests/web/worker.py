"""A stand-in for a worker: real state of real lines, with a dict for the table and no broker."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from kpi_app.core.fold import TimeRules
from kpi_app.core.segment import SegmentKey
from kpi_app.core.state import PartitionState
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.base import Reading
from kpi_app.report.ask import Wish
from kpi_app.stream.bend import Records, Seen
from kpi_app.stream.fold import Folding, fold_records
from kpi_app.stream.partition import Watched

#: An exact minute in 2023, epoch seconds.
T0 = 1_700_000_040

BY = Folding(ACCESS, Reading(), TimeRules(window_s=60, grace_s=60, future_limit_s=60))


def line(time_s: float) -> bytes:
    """A line of 10 bytes and status 200 at a time, seconds after T0."""
    time = datetime.fromtimestamp(T0 + time_s, UTC)
    return f'192.0.2.1 - - [{time:%d/%b/%Y:%H:%M:%S %z}] "GET / HTTP/1.1" 200 10 "-" "-"'.encode()


class Partition:
    """What the pages and the metrics see of an owned partition."""

    def __init__(self) -> None:
        self.stored: dict[SegmentKey, bytes] = {}
        self.state = PartitionState(BY.rules, ACCESS.measures, self.stored.__getitem__)
        self.table = SimpleNamespace(load=self.stored.__getitem__)
        self.watched: Watched | None = None
        self.rejected: Counter[str] = Counter()

    @property
    def pending(self) -> int:
        """Records that the next checkpoint will write."""
        return self.state.touched

    def read(self, *lines: bytes) -> "Partition":
        """Fold lines, without a checkpoint."""
        first = self.state.ledger.next_offset
        records = [
            SimpleNamespace(offset=first + i, timestamp=-1, value=value, headers=()) for i, value in enumerate(lines)
        ]
        folded, letters = fold_records(
            Records.of(records), first, self.state.ledger.watermark_us, BY, TP("access-log", 0)
        )
        self.rejected.update(letter.reason for letter in letters)
        self.state.apply(folded)
        return self

    def checkpoint(self) -> "Partition":
        """Commit what was folded."""
        if taken := self.state.checkpoint():
            self.stored.update(taken.puts)
            self.state.commit(taken)
        return self

    def seen(self, *, delivered: int, position: int, end: int) -> "Partition":
        """Where the partition stood when the worker last looked."""
        self.watched = Watched(0.0, Seen(delivered, position, end))
        return self


@dataclass
class Owned:
    """What this worker owns."""

    partitions: dict[int, Partition] = field(default_factory=dict)
    assigned: frozenset[int] | None = None
    partition_count: int = 8
    stalled: str | None = None
    dead_letters: Counter[str] = field(default_factory=Counter)
    late: int = 0


@dataclass
class Reader:
    """Rows out of a list; raises `error` where there is one."""

    rows: Sequence[Mapping[str, Any]] = ()
    error: Exception | None = None
    books: Sequence[Mapping[str, Any]] = ()
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    closed: bool = False

    async def ping(self) -> None:
        """Return when rows can be read."""
        if self.error:
            raise self.error

    async def windows(
        self, size_s: int, start: datetime | None, end: datetime | None, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """The latest rows."""
        self.asked.append((size_s, start, end, limit))
        await self.ping()
        return self.rows[-limit:]

    async def report(self, wish: Wish) -> Sequence[Mapping[str, Any]]:
        """The rows, whatever is wished."""
        self.asked.append(wish)
        await self.ping()
        return self.rows

    async def top(self, size_s: int, start: datetime, dimension: str) -> Sequence[Mapping[str, Any]]:
        """The rows, whatever is asked for."""
        self.asked.append((size_s, start, dimension))
        await self.ping()
        return self.rows

    async def close(self) -> None:
        """Let go."""
        self.closed = True

    async def latest_end(self, size_s: int) -> datetime | None:
        """Where the last of the rows ends."""
        await self.ping()
        return max((row["window_start"] + timedelta(seconds=size_s) for row in self.rows), default=None)

    async def overview(self, start: datetime, end: datetime) -> Mapping[str, Any] | None:
        """What was prepared."""
        self.asked.append((start, end))
        await self.ping()
        return {"requests": sum(row["requests"] for row in self.rows), "tops": {}}

    async def ledger(self) -> Sequence[Mapping[str, Any]]:
        """The books that were prepared."""
        await self.ping()
        return self.books

    async def segments(self, partition: int, limit: int) -> Sequence[Mapping[str, Any]]:
        """The rows, whatever is asked for."""
        self.asked.append((partition, limit))
        await self.ping()
        return self.rows


@dataclass
class Group:
    """The workers together."""

    url: str = "http://127.0.0.1:6066"
    told: dict[str, list[int]] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)

    def workers(self) -> Mapping[str, Sequence[int]]:
        """The partitions of each."""
        return self.told

    async def ends(self) -> Mapping[int, int]:
        """The end of each partition."""
        return self.offsets
