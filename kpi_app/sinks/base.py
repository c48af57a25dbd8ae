"""What every sink does; `tests/sinks/contract.py` holds the tests that each one passes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from kpi_app.core.ledger import Ledger
from kpi_app.core.seen import SeenFile
from kpi_app.core.segment import SegmentKey


class StoredSegment(NamedTuple):
    """A segment as a committed checkpoint wrote it."""

    key: SegmentKey
    #: Offset of that checkpoint.
    offset: int
    requests: int
    state: bytes


class Files(NamedTuple):
    """What a checkpoint says of the files that the lines are from."""

    #: Those with lines after `Flush.flushed`.
    changed: Sequence[SeenFile] = ()
    #: Files without a line from this offset on are forgotten.
    kept_from: int = 0


NO_FILES = Files()


@dataclass(frozen=True)
class Flush:
    """One partition's committed checkpoint, on its way to the sink.

    `since(f)` yields the segments that checkpoints after offset `f` wrote, each once, for any `f` from `flushed` on.
    They are as of `ledger`: the sink waits for its store between two of them, and a later checkpoint may be taken
    then, but must not show in them.
    """

    topic: str
    partition: int
    ledger: Ledger
    #: What the checkpoint believes that the sink holds already; a sink that holds less was set back, and gets
    #: what it lacks, as long as that is not behind `dropped`.
    flushed: int
    #: Greatest offset of a segment that the state has dropped, since the sink held it.
    dropped: int
    #: The owner is connected, caught up, and has seen nothing for KPI_IDLE_AFTER.
    idle: bool
    since: Callable[[int], Iterable[StoredSegment]]
    files: Files = NO_FILES


class Sink(Protocol):
    """Keeps segments and books of partitions, and unites them to the rows that people read.

    Every call may raise `SinkBusy` (away: try again), `SinkRefused` (will never work: stop) and, from
    `flush`, `StopWorker` (the sink was set back behind what the state has dropped).
    """

    async def open(self) -> None:
        """Connect, and see that it is ready for us. May be called again after `SinkBusy`.

        Raises `UserError`, too, when its state is of other settings.
        """
        ...

    async def close(self) -> None:
        """Let go of every connection, within seconds."""
        ...

    async def ping(self) -> None:
        """Return when the sink answers."""
        ...

    async def expect(self, topic: str, partitions: int) -> None:
        """Open the books of each partition of the topic: a window closes when all of them have passed it."""
        ...

    async def flush(self, flush: Flush) -> int:
        """Bring a checkpoint there, in one transaction.

        Returns the greatest offset that the sink holds now; less than `flush.flushed` where it was set back: then
        nothing was written, and the flush is to be made again from that offset on.
        """
        ...

    async def merge(self) -> int:
        """Unite some of what has changed, and close what has been passed.

        Returns how many windows were looked at: 0 when nothing is left but what another worker is doing, and what is
        put off for its pace. Windows close by idleness and by other partitions, too: call it from time to time.
        """
        ...

    async def tidy(self) -> int:
        """Make some of what is stored smaller, and drop some of what is too old.

        Returns how much was done: 0 when nothing is left, or another worker is at it.
        """
        ...

    async def visitor_key(self) -> bytes:
        """The key of the hashes that tell visitors apart: made once, the same for all workers."""
        ...
