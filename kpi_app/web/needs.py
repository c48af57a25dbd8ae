"""What the pages need of the worker that they show."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from kpi_app.core.segment import SegmentKey
from kpi_app.core.state import PartitionState
from kpi_app.report.ask import Wish


class Table(Protocol):
    """One partition of the table."""

    def load(self, key: SegmentKey) -> bytes:
        """The bytes of a segment that the state's index says is here."""
        ...


class Partition(Protocol):
    """A source partition that this worker owns."""

    @property
    def state(self) -> PartitionState:
        """Its books and the index of its segments."""
        ...

    @property
    def table(self) -> Table:
        """Its segments, as of the last checkpoint."""
        ...


class Owned(Protocol):
    """What this worker owns."""

    @property
    def assigned(self) -> frozenset[int] | None:
        """The source partitions that the group gave us; None while it has not, and during a rebalance."""
        ...

    @property
    def stalled(self) -> str | None:
        """What the worker waits for in vain, in one line; None while all goes on."""
        ...

    @property
    def partition_count(self) -> int:
        """Partitions of the raw topic."""
        ...

    @property
    def partitions(self) -> Mapping[int, Partition]:
        """Those that were taken over, by number."""
        ...


class Reader(Protocol):
    """What was written for people. Raises `SinkBusy` and `SinkRefused`."""

    async def ping(self) -> None:
        """Return when rows can be read."""
        ...

    async def windows(
        self, size_s: int, start: datetime | None, end: datetime | None, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """The latest `limit` rows of a size that start in `[start, end)`, oldest first."""
        ...

    async def report(self, wish: Wish) -> Sequence[Mapping[str, Any]]:
        """The rows of a report. Raises `UserError`, too."""
        ...

    async def top(self, size_s: int, start: datetime, dimension: str) -> Sequence[Mapping[str, Any]]:
        """The values of a dimension in one window, the heaviest first."""
        ...

    async def latest_end(self, size_s: int) -> datetime | None:
        """Where the last stored window of a size ends; None when there is none."""
        ...

    async def overview(self, start: datetime, end: datetime) -> Mapping[str, Any] | None:
        """The row of a span and the top values of every dimension; None where no line is in it. Raises `UserError`."""
        ...

    async def ledger(self) -> Sequence[Mapping[str, Any]]:
        """The books of each partition."""
        ...

    async def segments(self, partition: int, limit: int) -> Sequence[Mapping[str, Any]]:
        """The latest segments of a partition that are stored, newest window first."""
        ...

    async def close(self) -> None:
        """Let go of every connection, within seconds. May be called twice."""
        ...


class Group(Protocol):
    """The workers together, as this one knows them."""

    @property
    def url(self) -> str:
        """Where the others find this one's pages."""
        ...

    def workers(self) -> Mapping[str, Sequence[int]]:
        """The partitions of each worker, by the address of its pages, as of the last assignment."""
        ...

    async def ends(self) -> Mapping[int, int]:
        """The end of each partition of the raw topic. Raises whatever the client of Kafka does."""
        ...
