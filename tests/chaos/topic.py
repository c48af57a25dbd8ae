"""What the raw topic really holds, read back by another client than the product's, and kept on disk."""

import struct
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from confluent_kafka import Consumer, TopicPartition

from tests.exactness.truth import Sent

#: Offset, time in milliseconds, length of the value or -1 for none.
_HEAD = struct.Struct("<qqi")
_LIMIT_S = 30.0
#: So long does the client wait for as many records as were asked for, at the end of the topic, too.
_TAKE_S = 0.5


class Incomplete(Exception):
    """The topic could not be read from offset 0 to its end."""


class Copy:
    """The records of one partition, in the order of their offsets; can be gone through several times."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.records = 0

    def extend(self, records: list[Sent]) -> None:
        """Append these."""
        with self._file.open("ab") as file:
            for offset, value, timestamp_ms in records:
                file.write(_HEAD.pack(offset, timestamp_ms, -1 if value is None else len(value)))
                file.write(value or b"")
        self.records += len(records)

    def __iter__(self) -> Iterator[Sent]:
        with self._file.open("rb", buffering=1 << 20) as file:
            while head := file.read(_HEAD.size):
                offset, timestamp_ms, length = _HEAD.unpack(head)
                yield Sent(offset, None if length < 0 else file.read(length), timestamp_ms)


def read_back(brokers: str, topic: str, partitions: int, directory: Path) -> dict[int, Copy]:
    """All committed records, by partition. Raises `Incomplete`."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "read-back",  # needed, never used: nothing is subscribed to or committed
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
        }
    )
    try:
        directory.mkdir(exist_ok=True)
        kept, left = {}, {}
        for partition in range(partitions):
            low, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_LIMIT_S)
            if low:
                raise Incomplete(f"{topic}/{partition} begins at offset {low}")
            kept[partition] = Copy(directory / f"partition-{partition}")
            (directory / f"partition-{partition}").write_bytes(b"")
            if end:
                left[partition] = end
        consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
        until_s = monotonic() + _LIMIT_S
        while left:
            if _take(consumer, kept, left):
                until_s = monotonic() + _LIMIT_S
            elif monotonic() > until_s:
                raise Incomplete(f"nothing came any more; missing up to {left}")
    finally:
        consumer.close()
    return kept


def _take(consumer: Consumer, kept: dict[int, Copy], left: dict[int, int]) -> bool:
    """Keep what comes next, if anything does; takes partitions that are complete out of `left`."""
    messages = consumer.consume(10_000, timeout=_TAKE_S)
    found: dict[int, list[Sent]] = {}
    for message in messages:
        if error := message.error():
            raise Incomplete(str(error))
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        if offset < left.get(partition, 0):
            found.setdefault(partition, []).append(Sent(offset, message.value(), message.timestamp()[1]))
    for partition, records in found.items():
        kept[partition].extend(records)
        if records[-1].offset + 1 == left[partition]:
            del left[partition]
    return bool(messages)
