"""What aiokafka fetched is handed out whole, in bounds, and in turn."""

from itertools import chain
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from kpi_app.stream.bend import fetched
from kpi_app.stream.bend.consumer import BatchThread
from kpi_app.stream.bend.fetched import BareResults
from kpi_app.stream.bend.records import Records


def test_a_fetch_hands_out_the_records_from_its_offset_on() -> None:
    """A broker answers with whole batches of producers; what is before the position was handed out already."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 4_096)
    for number in range(5):
        builder.append(number, 1_000 + number, None, b"%d" % number, [])
    tp = TopicPartition("raw", 0)
    records = PartitionRecords(tp, MemoryRecords(bytes(builder.build())), [], 2, None, None, True, 0)
    BareResults()[tp] = FetchResult(tp, assignment=None, partition_records=records, backoff=0)
    wholes = list(records)
    assert records.next_fetch_offset == 5
    starts = {tp: 1}  # what was asked for is not in the log any more
    start, handed_out = BatchThread._label(cast(Any, SimpleNamespace(_starts=starts)), tp, wholes)
    assert (start, starts[tp]) == (1, 5)
    assert handed_out == Records([2, 3, 4], [1_002, 1_003, 1_004], [b"2", b"3", b"4"], {}, 3)


class _Position:
    """What a `FetchResult` asks of an assignment, for one partition."""

    active, paused, position = True, False, 0

    def state_value(self, tp: TopicPartition) -> "_Position":
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


@pytest.mark.parametrize(
    ("lines", "size", "pieces"), [(4, 1_000, [6, 6, 3]), (1_000, 301, [6, 6, 3]), (1, 1, [3, 3, 3, 3, 3])]
)
def test_what_is_handed_out_at_a_time_is_bounded(
    lines: int, size: int, pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch is bounded as it was compressed, and long lines of strangers compress well; nothing of it is left out."""
    monkeypatch.setattr(fetched, "MOST_LINES", lines)
    monkeypatch.setattr(fetched, "MOST_BYTES", size)
    results, handed_out = BareResults(), []
    one, position = _fetched(results, TopicPartition("raw", 0))
    other, _ = _fetched(results, TopicPartition("raw", 1))
    while one.has_more():
        results.begin()
        handed_out.append(Records.joined(one.getall(None)).offsets)
        assert position.position == sum(map(len, handed_out))
        if len(handed_out[-1]) == pieces[0]:
            assert other.getall(None) == [], "that was enough"
    assert [len(piece) for piece in handed_out if piece] == pieces
    assert list(chain.from_iterable(handed_out)) == list(range(15))


def test_what_is_left_of_a_fetch_waits_for_the_other_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka asks them in the order that they are in: the folds of one partition would wait for each other."""
    monkeypatch.setattr(fetched, "MOST_LINES", 6)
    results = BareResults()
    tps = [TopicPartition("raw", number) for number in range(3)]
    for tp in tps:
        _fetched(results, tp)
    turns = []
    while results:
        results.begin()
        for tp in list(results):  # as `Fetcher.fetched_records`
            if results[tp].getall(None):
                turns.append(tp)
            if not results[tp].has_more():
                del results[tp]
    assert turns[:6] == [*tps, *tps]


def _fetched(results: BareResults, tp: TopicPartition) -> tuple[FetchResult, _Position]:
    """Fifteen records of 100 bytes in five batches of a producer."""
    data = b""
    for first in range(0, 15, 3):
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 4_096)
        for number in range(3):
            builder.append(number, 1_000, None, b"%100d" % (first + number), [])
        batch = bytearray(builder.build())
        batch[:8] = first.to_bytes(8, "big")  # the broker gives the offsets; they are not in the checksum
        data += batch
    position = _Position()
    records = PartitionRecords(tp, MemoryRecords(data), [], 0, None, None, True, 0)
    results[tp] = result = FetchResult(tp, assignment=position, partition_records=records, backoff=0)
    return result, position
