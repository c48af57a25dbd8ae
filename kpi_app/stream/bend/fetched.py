"""What aiokafka fetched, handed out as `Records`, a producer's batch at a time, in bounds.

aiokafka takes each record by itself and makes a `ConsumerRecord` of it, with eleven fields: half of what a line costs
in the thread that fetches. Here the records of a batch are one, that with the last offset.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchResult

from kpi_app.stream.bend.records import Record, Records

#: The most that is handed out of one partition at a time, but for one batch of a producer: lines, and bytes of them;
#: of no other partition any more once as much was handed out. A fetch is bounded as it was compressed, and what
#: strangers write may be a thousand times as long.
MOST_LINES = 16_384
MOST_BYTES = 8 << 20


class BareResults(dict[TopicPartition, Any]):
    """What the fetcher has in hand, to be handed out batch by batch."""

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

    def _some(self, tp: TopicPartition, result: FetchResult, max_records: int | None = None) -> list[Records]:
        """As `FetchResult.getall`, in bounds of our own: the rest is handed out the next time."""
        wholes: list[Records] = []
        if self._lines >= MOST_LINES or self._size >= MOST_BYTES:
            return wholes
        lines = size = 0
        while lines < MOST_LINES and size < MOST_BYTES and (whole := result.getone()) is not None:
            wholes.append(whole)
            lines += len(whole)
            size += whole.size
        self._lines += lines
        self._size += size
        if result.has_more():
            super().__setitem__(tp, self.pop(tp))  # the next time it is another partition's turn
        return wholes


class _WholeBatch:
    """A batch that holds a single record, which is those from an offset on; else what it was."""

    def __init__(self, batch: Any, offset: int) -> None:
        self._batch = batch
        self._offset = offset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Record:
        record: Record = next(self._batch)
        return record

    def __iter__(self) -> Iterator[Records]:
        records = Records.of(self._batch).since(self._offset)  # a fetch may begin within it, at the log's start for one
        if len(records):
            yield records


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


def _as_it_is(tp: TopicPartition, whole: Records) -> Records:
    return whole
