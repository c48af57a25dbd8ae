"""Completeness: what has arrived of each file, over all partitions, against the bytes that really did."""

import json
from collections.abc import Iterable
from itertools import pairwise
from random import Random
from typing import Any

import polars as pl
import pytest

from kpi_app.core import seen
from kpi_app.core.fold import fold
from kpi_app.core.state import PartitionState
from kpi_app.feeds.access import ACCESS, EXAMPLE
from kpi_app.feeds.base import Reading
from kpi_app.feeds.envelope import decode_placed
from kpi_app.sinks import flush as steps
from kpi_app.sinks.base import Files, Flush, StoredSegment
from kpi_app.sinks.reset import reset
from tests.sinks.owner import RULES, TOPIC
from tests.sinks.store import Store

#: First byte and the one behind the line; the lines of every file.
Span = tuple[int, int]


def lines_of(count: int, random: Random) -> list[Span]:
    """Lines of any length that follow each other."""
    ends = [0]
    for _ in range(count):
        ends.append(ends[-1] + random.randint(1, 300))
    return list(pairwise(ends))


class Reader:
    """Reads records of one partition, and makes checkpoints of them."""

    def __init__(self, partition: int = 0) -> None:
        self._partition = partition
        self._table: dict[Any, bytes] = {}
        self.state = PartitionState(RULES, ACCESS.measures, self._table.__getitem__)

    def read(self, spans: Iterable[Span], log: str = EXAMPLE, **names: str) -> "Reader":
        """Lines of a file at these places."""
        file = {"host": "web-1", "path": "/var/log/access.log", "file": "a"} | names
        values = [json.dumps({**file, "offset": start, "end": end, "log": log}).encode() for start, end in spans]
        lines, places = decode_placed(values)
        ledger = self.state.ledger
        parsed = ACCESS.parse(lines, Reading(visitor_key=b"k")).with_columns(
            offset=pl.int_range(pl.len(), dtype=pl.Int64) + ledger.next_offset,
            record_ms=pl.lit(None, dtype=pl.Int64),
        )
        known = ledger.passed_us, places, self.state.seen
        self.state.apply(fold(parsed, ledger.watermark_us, RULES, ACCESS.measures, *known))
        return self

    def checkpoint(self) -> Flush:
        """All that was read, committed, on its way to the sink."""
        if taken := self.state.checkpoint():
            self._table.update(taken.puts)
            self.state.commit(taken)
        now = [StoredSegment(key, *live, self._table[key]) for key, live in self.state.live.items()]
        files = self.state.seen_committed.values()
        kept = Files(list(files), min((each.touched for each in files), default=0))
        return Flush(TOPIC, self._partition, self.state.ledger, self.state.flushed, -1, False, lambda _: now, kept)


async def completeness(store: Store) -> dict[str, tuple[Any, ...]]:
    """What the view says of each file, by its name."""
    columns = "partitions, first_offset, next_offset, arrived_bytes, missing_bytes"
    rows = await store.eye.fetch(f"SELECT file, {columns} FROM completeness")  # noqa: S608  no data in it
    return {row["file"]: tuple(row)[1:] for row in rows}


async def test_a_hole_is_reported_until_it_is_filled(store: Store) -> None:
    """Bytes between the first and the last line that came, in no partition."""
    sink, one, other = await store.sink(), Reader(0), Reader(1)
    await sink.flush(one.read([(0, 10), (10, 25), (40, 50)]).checkpoint())
    assert await completeness(store) == {"a": (1, 0, 50, 35, 15)}
    await sink.flush(other.read([(25, 30), (50, 60)]).checkpoint())
    assert await completeness(store) == {"a": (2, 0, 60, 50, 10)}
    await sink.flush(one.read([(30, 40)], log="half a line").checkpoint())
    assert await completeness(store) == {"a": (2, 0, 60, 60, 0)}
    assert await store.eye.fetchval("SELECT sum(rejected) FROM ingest_ledger") == 1
    assert await store.differences() == []


async def test_the_view_is_what_the_bytes_say(store: Store) -> None:
    """Lines lost, sent twice and rejected at random, in three partitions and any order: the truth is a set of bytes."""
    random = Random(6)  # noqa: S311  no secret
    sink, readers = await store.sink(), [Reader(number) for number in range(3)]
    came: dict[str, set[Span]] = {"a": set(), "b": set()}
    spans = {name: lines_of(400, random) for name in came}
    for _ in range(60):
        name, reader = random.choice("ab"), random.choice(readers)
        first = random.randrange(380)
        some = spans[name][first : first + random.randrange(1, 20)]
        came[name] |= set(some)
        reader.read(some, random.choice([EXAMPLE, EXAMPLE, "unreadable"]), file=name)
        if random.random() < 0.3:
            await sink.flush(reader.checkpoint())
    for reader in readers:
        await sink.flush(reader.checkpoint())
    expected = {}
    for name, lines in came.items():
        first, end, size = min(lines)[0], max(lines)[1], sum(end - start for start, end in lines)
        expected[name] = (3, first, end, size, end - first - size)
        assert end - first - size > 0
    assert await completeness(store) == expected


async def test_rotation_begins_a_row_of_its_own(store: Store) -> None:
    """Each file of a path has its own bytes, and so has each host."""
    sink, reader = await store.sink(), Reader()
    reader.read([(0, 10), (10, 30)]).read([(0, 20)], file="b").read([(0, 20)], file="b", host="web-2")
    await sink.flush(reader.checkpoint())
    rows = await store.eye.fetch("SELECT host, path, file, arrived_bytes FROM completeness ORDER BY host, file")
    assert [tuple(row) for row in rows] == [
        ("web-1", "/var/log/access.log", "a", 30),
        ("web-1", "/var/log/access.log", "b", 20),
        ("web-2", "/var/log/access.log", "b", 20),
    ]
    assert await store.eye.fetchval("SELECT duplicates FROM ingest_ledger") == 0


async def test_many_files_come_in_small_statements(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one has up to 1,024 stretches: all that a partition remembers would be 25 MB at once."""
    sizes: list[int] = []
    monkeypatch.setattr(steps, "_FILES_CHUNK", 3)
    columns = steps._columns_of
    monkeypatch.setattr(steps, "_columns_of", lambda files: sizes.append(len(files)) or columns(files))
    sink, reader = await store.sink(), Reader()
    for number in range(8):
        reader.read([(0, 10), (20, 30)], file=str(number))
    await sink.flush(reader.checkpoint())
    assert await completeness(store) == {str(number): (1, 0, 30, 20, 10) for number in range(8)}
    assert sizes == [3, 3, 2]


async def test_duplicates_are_in_the_books(store: Store) -> None:
    """And in no window."""
    sink, reader = await store.sink(), Reader()
    await sink.flush(reader.read([(0, 10), (10, 30), (0, 10)]).checkpoint())
    await sink.flush(reader.read([(0, 10), (30, 40)]).checkpoint())
    books = await store.eye.fetchrow("SELECT lines, counted, duplicates FROM ingest_ledger")
    assert tuple(books) == (5, 3, 2)
    assert await store.eye.fetchval("SELECT sum(requests) FROM segment") == 3
    assert await store.differences() == []


async def test_a_flush_that_comes_too_late_changes_no_file(store: Store) -> None:
    """Files go by the offset of the books, as segments do; sent again, they are the same."""
    sink, reader = await store.sink(), Reader()
    old = reader.read([(0, 10), (20, 30)]).checkpoint()
    new = reader.read([(10, 20)]).checkpoint()
    for flush in (new, old, new):
        await sink.flush(flush)
    assert await completeness(store) == {"a": (1, 0, 30, 30, 0)}


async def test_what_the_state_forgot_is_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are as many as files are remembered, and what came before a file's floor stays in its sum."""
    for name, value in (("MAX_FILES", 3), ("MAX_RANGES", 2), ("FORGET_BLOCK", 5)):
        monkeypatch.setattr(seen, name, value)
    sink, reader = await store.sink(), Reader()
    for number in range(20):
        await sink.flush(reader.read([(0, 5)], file=str(number)).checkpoint())
    assert set(await completeness(store)) == {str(number) for number in range(12, 20)}
    await sink.flush(reader.read([(10 * n, 10 * n + 5) for n in range(20)], file="a").checkpoint())
    [(*_, below, pieces)] = await store.eye.fetch(
        "SELECT below, (SELECT count(*) FROM unnest(arrived)) FROM source_file WHERE file = 'a'"
    )
    assert (below > 0, pieces < 10) == (True, True)
    assert (await completeness(store))["a"] == (1, 0, 195, 100, 95)


@pytest.mark.parametrize(
    "name", ["\0", "'; DROP TABLE segment --", "}", "\x1b[2J", "x" * 80_000, "\u202e\u2028", "(none)"]
)
async def test_hostile_names_are_kept_safe(store: Store, name: str) -> None:
    """Whatever a shipper calls its host, its log and its file."""
    sink, reader = await store.sink(), Reader()
    await sink.flush(reader.read([(0, 10)], host=name, path=name, file=name).checkpoint())
    row = await store.eye.fetchrow("SELECT host, path, file, arrived_bytes FROM completeness")
    assert row["arrived_bytes"] == 10
    assert row["host"] == row["path"] == row["file"]
    assert len(row["file"].encode()) <= 512
    assert row["file"].isprintable()


async def test_a_reset_forgets_files(store: Store) -> None:
    """As it does all else of the topic."""
    sink = await store.sink()
    await sink.flush(Reader().read([(0, 10)]).checkpoint())
    await sink.close()
    await reset(store.dsn, ACCESS)
    assert await completeness(store) == {}
