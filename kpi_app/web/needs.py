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

    async def close(self) -> None:
        """Let go of every connection, within seconds. May be called twice."""
        ...
