"""How metrics are read from the state when somebody asks."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic
from typing import NamedTuple, Protocol

from kpi_app.core.ledger import Ledger
from kpi_app.core.windows import US_PER_S
from kpi_app.stream.partition import Partition


class State(Protocol):
    """What is read of the partitions that this worker owns."""

    @property
    def partitions(self) -> Mapping[int, Partition]:
        """Those owned, by number."""
        ...

    @property
    def partition_count(self) -> int:
        """Partitions of the raw topic."""
        ...

    @property
    def dead_letters(self) -> Mapping[str, int]:
        """Lines rejected since this worker started, by reason."""
        ...

    @property
    def late(self) -> int:
        """Late lines counted since this worker started."""
        ...


class Source(NamedTuple):
    """What metrics are read from."""

    state: State
    #: Whether a partition is idle at a time (monotonic seconds).
    is_idle: Callable[[Partition, float], bool]


class Sample(NamedTuple):
    """One value, with those of its labels."""

    labels: tuple[str, ...]
    value: float


Read = Callable[[Source], Iterable[Sample]]


def once(value: Callable[[State], float]) -> Read:
    """Read one value of the whole worker."""
    return lambda source: [Sample((), value(source.state))]


def of_partition(value: Callable[[Partition], float | None]) -> Read:
    """Read a value of each owned partition; None leaves the partition out."""

    def read(source: Source) -> Iterator[Sample]:
        for number, partition in source.state.partitions.items():
            read = value(partition)
            if read is not None:
                yield Sample((str(number),), read)

    return read


def of_books(value: Callable[[Ledger], float | None]) -> Read:
    """Read a value of each owned partition's books as of its last checkpoint.

    Not as of the last line: after a crash lines are read again, and a counter must never go back.
    """
    return of_partition(lambda partition: value(_committed(partition)))


def _committed(partition: Partition) -> Ledger:
    meta = partition.state.committed
    return meta.ledger if meta else Ledger()


def lag(partition: Partition) -> float | None:
    """Records from the next one to fold to the end; None before the first look at the end."""
    if partition.watched is None:
        return None
    seen, folded = partition.watched.seen, partition.state.ledger.next_offset
    # Offsets at the end may be markers of transactions, which are never handed out: once all that was handed
    # out is folded, the consumer's position counts.
    reached = max(folded, seen.position) if seen.delivered <= folded else folded
    return max(0, seen.end - reached)


def unflushed(partition: Partition) -> float:
    """Records that are checkpointed and not known to be in the sink."""
    return max(0, partition.state.committed_offset - 1 - partition.state.flushed)


def watermark_s(ledger: Ledger) -> float | None:
    """Seconds since the epoch; None before the first event."""
    return None if ledger.watermark_us is None else ledger.watermark_us / US_PER_S


def idle(source: Source) -> Iterator[Sample]:
    """1 for each partition that is idle now, 0 for the others."""
    now_s = monotonic()
    return (
        Sample((str(number),), source.is_idle(partition, now_s))
        for number, partition in source.state.partitions.items()
    )


def dead_letters(source: Source) -> Iterator[Sample]:
    """Lines rejected, by reason."""
    return (Sample((reason,), count) for reason, count in source.state.dead_letters.items())
