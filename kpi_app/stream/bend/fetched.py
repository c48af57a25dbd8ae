"""What aiokafka fetched, handed out record by record as it was decoded, a producer's batch at a time, in bounds.

aiokafka takes each record by itself and makes a `ConsumerRecord` of it, with eleven fields: half of what a line costs
in the thread that fetches.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchResult

#: The most that is handed out of one partition at a time, but for one batch of a producer: lines, and bytes of them;
#: of no other partition any more once as much was handed out. A fetch is bounded as it was compressed, and what
#: strangers write may be a thousand times as long.
MOST_LINES = 16_384
MOST_BYTES = 8 << 20


_value = attrgetter("value")


class Record(Protocol):
    """A record as aiokafka decodes it."""

    @property
    def offset(self) -> int:
        """Its offset in the partition."""
        ...

    @property
    def timestamp(self) -> int | None:
        """Its own time, milliseconds; -1 or None where the producer gave none."""
        ...

    @property
    def value(self) -> bytes | None:
        """Its value; None for a tombstone."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Names and values that its producer gave beside."""
        ...


class Whole(NamedTuple):
    """All records of one batch of a producer, as if they were one: that with the last offset."""

    offset: int
    records: list[Record]


class BareResults(dict[TopicPartition, Any]):
    """What the fetcher has in hand, to be handed out as `Whole`s."""

    def __init__(self, results: Mapping[TopicPartition, Any] | None = None) -> None:
        super().__init__(results or {})
        self.begin()

    def begin(self) -> None:
        """From now on count what is handed out: it is bounded."""
        self._lines = self._size = 0

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        if isinstance(result, FetchResult):
            fetched = result._partition_records
            fetched._records = _Wholes(fetched._records, fetched.next_fetch_offset)
            fetched._consumer_record = _as_it_is
            result.getall = partial(self._some, tp, result)
        super().__setitem__(tp, result)

    def _some(self, tp: TopicPartition, result: FetchResult, max_records: int | None = None) -> list[Whole]:
        """As `FetchResult.getall`, in bounds of our own: the rest is handed out the next time."""
        wholes: list[Whole] = []
        if self._lines >= MOST_LINES or self._size >= MOST_BYTES:
            return wholes
        lines = size = 0
        while lines < MOST_LINES and size < MOST_BYTES and (whole := result.getone()) is not None:
            wholes.append(whole)
            lines += len(whole.records)
            size += sum(map(len, filter(None, map(_value, whole.records))))
        self._lines += lines
        self._size += size
        if result.has_more():
            super().__setitem__(tp, self.pop(tp))  # the next time it is another partition's turn
        return wholes


class _WholeBatch:
    """A batch that holds a single record, which is a `Whole` of those from an offset on; else what it was."""

    def __init__(self, batch: Any, offset: int) -> None:
        self._batch = batch
        self._offset = offset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Record:
        record: Record = next(self._batch)
        return record

    def __iter__(self) -> Iterator[Whole]:
        records = list(self._batch)
        if records and records[0].offset < self._offset:  # a fetch may begin within a batch, at the log's start for one
            records = [record for record in records if record.offset >= self._offset]
        if records:
            yield Whole(records[-1].offset, records)


class _Wholes:
    """The batches of a fetch that asked for an offset, each a `_WholeBatch`."""

    def __init__(self, batches: Any, offset: int) -> None:
        self._batches = batches
        self._offset = offset

    def has_next(self) -> bool:
        """Whether there is another."""
        return bool(self._batches.has_next())

    def next_batch(self) -> _WholeBatch:
        """The next one."""
        return _WholeBatch(self._batches.next_batch(), self._offset)


def _as_it_is(tp: TopicPartition, whole: Whole) -> Whole:
    return whole
