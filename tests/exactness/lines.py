"""Lots of access lines in event time: on time, late, from the future, and ones that nobody can read.

partition 0  ──o──o─o────o──o─L──o───o─F──o──x──o──▶   o on time, a little out of order
partition 1  ─o───o──o─o──L──o──o───x───o─o───o───▶    L late: its window's end + grace is past
             [  10 s  )[  10 s  )[  10 s  )[  10 s )   F future, x unreadable

Half of them say where in a file they are, one file a partition; now and then the last of these come again.
"""

import json
from collections import Counter, defaultdict, deque
from datetime import UTC, datetime
from random import Random
from typing import NamedTuple

#: The windows and the grace that the workers under test are set to, seconds.
WINDOW_S = 10
LARGER_S = 60
GRACE_S = 10

#: Where event time starts; far behind the clock, which must not matter.
_START_S = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())

STATUSES = (200, 200, 200, 200, 204, 301, 304, 404, 404, 500, 502, 101, 600)

_UNREADABLE: tuple[bytes | None, ...] = (
    b"not a line at all",
    b'{"log": 17}',
    b'{"log": "half an envelope',
    b"\xff\xfe not text",
    b'192.0.2.7 - - [31/Feb/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 5',
    None,
)


class Record(NamedTuple):
    """What is sent to the raw topic."""

    partition: int
    value: bytes | None
    #: The record's own time, milliseconds since the epoch.
    timestamp_ms: int


def at(
    partition: int,
    event_s: float,
    status: int = 200,
    size: int = 100,
    written_s: float | None = None,
    client: str = "192.0.2.7",
    path: str = "",
) -> Record:
    """One readable line of this event time (seconds since `_START_S`), written then or at `written_s`."""
    when = datetime.fromtimestamp(_START_S + int(event_s), UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    line = f'{client} - - [{when}] "GET /{path or size % 7}?{partition} HTTP/1.1" {status} {size} "-" "test"'
    return Record(partition, line.encode(), int((_START_S + (event_s if written_s is None else written_s)) * 1_000))


def in_a_file(record: Record, start: int) -> Record:
    """The same line, with its place in the partition's file."""
    assert record.value is not None
    end = start + len(record.value) + 1
    place = {"host": "web-1", "path": "/log", "file": f"file {record.partition}", "offset": start, "end": end}
    envelope = {"@timestamp": record.timestamp_ms, **place, "log": record.value.decode()}
    tight = (",", ":") if start % 2 else None  # read as columns, or with care
    return record._replace(value=json.dumps(envelope, separators=tight).encode())


class Source:
    """Makes lots, each one later in event time than those before; the same ones for the same seed."""

    #: Of the lines on time, how many are followed by one that is late, from the future, unreadable.
    late, future, unreadable = 0.2, 0.1, 0.2
    #: And how many by those with a place that came last, once more.
    again = 0.1

    def __init__(self, partitions: int, seed: int = 1) -> None:
        self.partitions = partitions
        self._random = Random(seed)  # noqa: S311  no secret
        self._now_s = 0.0
        self._ends: Counter[int] = Counter()
        self._placed: dict[int, deque[Record]] = defaultdict(lambda: deque(maxlen=5))

    def lot(self, per_partition: int = 12, windows: float = 4) -> list[Record]:
        """On-time lines over so many windows in each partition, with late, future and unreadable ones among them."""
        step_s = windows * WINDOW_S / per_partition
        records: list[Record] = []
        for _ in range(per_partition):
            self._now_s += step_s
            for partition in range(self.partitions):
                records += self._here(partition)
        return records

    def _here(self, partition: int) -> list[Record]:
        pick, now_s = self._random, self._now_s
        records = [self._line(partition, now_s - pick.uniform(0, 3), now_s)]
        chance = pick.random()
        if chance < self.late:
            records.append(self._line(partition, max(0, now_s - pick.uniform(2, 6) * (WINDOW_S + GRACE_S)), now_s))
        elif (chance := chance - self.late) < self.future:
            records.append(self._line(partition, now_s + 100, now_s))
        elif (chance := chance - self.future) < self.unreadable:
            records.append(self._unreadable(partition, int((_START_S + now_s) * 1_000)))
        elif chance - self.unreadable < self.again:
            sent_ms = int((_START_S + now_s) * 1_000)
            records += [record._replace(timestamp_ms=sent_ms) for record in self._placed[partition]]
        return records

    def _unreadable(self, partition: int, sent_ms: int) -> Record:
        value = self._random.choice(_UNREADABLE)
        record = Record(partition, value, sent_ms)
        return self._in_a_file(record) if value == _UNREADABLE[0] else record

    def _in_a_file(self, record: Record) -> Record:
        """The same line with its place in the partition's file, behind the one before it."""
        assert record.value is not None
        start = self._ends[record.partition]
        self._ends[record.partition] = start + len(record.value) + 1
        placed = in_a_file(record, start)
        self._placed[record.partition].append(placed)
        return placed

    def _request(self, pick: Random) -> tuple[str, int, int, str]:
        """Client, status, size, path."""
        client, status = f"192.0.{pick.randrange(4)}.{pick.randrange(1, 9)}", pick.choice(STATUSES)
        return client, status, (size := pick.randrange(5_000)), str(size % 7)

    def _line(self, partition: int, event_s: float, now_s: float) -> Record:
        pick = self._random
        client, status, size, path = self._request(pick)
        record = at(partition, event_s, status, size, now_s, client, path)
        return self._in_a_file(record) if pick.random() < 0.5 else record
