"""One source partition that this worker owns: its state, its producer, and its checkpoints.

A checkpoint is one Kafka transaction, then one write of the table, in this order; each step is a method of its
own, so that a test can end the process between any two of them.

    begin → segments → drops → files → books → dead letters → commit → table → state
"""

import asyncio
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from kpi_app.core.fold import Folded
from kpi_app.core.ledger import Meta
from kpi_app.core.state import Checkpoint, PartitionState
from kpi_app.errors import StopWorker
from kpi_app.sinks.base import Files, Flush, StoredSegment
from kpi_app.stream.bend import Seen
from kpi_app.stream.deadletters import DeadLetter
from kpi_app.stream.table import TablePartition
from kpi_app.stream.topics import Names


class Watched(NamedTuple):
    """Where the partition stood against its end when we last looked (monotonic seconds)."""

    at_s: float
    seen: Seen


class Partition:
    """Owns partition `number` from its take-over until `close`."""

    def __init__(
        self,
        number: int,
        names: Names,
        state: PartitionState,
        table: TablePartition,
        producer: AIOKafkaProducer,
    ) -> None:
        self.number = number
        self.state = state
        self.table = table
        self.owned = True
        #: When a line last came (monotonic seconds); the take-over counts as one.
        self.seen_s = monotonic()
        self.watched: Watched | None = None
        #: What the sink was last told of idleness, and when (monotonic seconds).
        self.told_idle = True  # for all we know the previous owner said so: the first flush says that it is not
        self.told_s = 0.0
        self._names = names
        self._producer = producer
        self._dead_letters: list[DeadLetter] = []
        self._lock = asyncio.Lock()
        self._cut_off = False
        #: Held by whoever flushes: then what the sink holds beyond a flush is nothing that this owner brought.
        self.flushing = asyncio.Lock()

    @property
    def pending(self) -> int:
        """Records that the next checkpoint will write."""
        return self.state.touched + len(self._dead_letters)

    def apply(self, folded: Folded, dead_letters: Iterable[DeadLetter]) -> None:
        """Take in a folded batch together with the lines of it that were rejected."""
        self.state.apply(folded)
        self._dead_letters.extend(dead_letters)
        self.seen_s = monotonic()

    async def checkpoint(self) -> bool:
        """Make what was folded so far durable; returns whether there was anything to write."""
        async with self._lock:
            if not self.owned:
                return False
            if self._cut_off:
                raise StopWorker(f"a checkpoint of partition {self.number} was cut off: what it held is not known")
            checkpoint = self.state.checkpoint()
            if checkpoint is None:
                return False
            self._cut_off = True  # until it is through: a later one would leave out what this one took
            await self._write(checkpoint)
            if checkpoint.meta.overtaken >= 0:
                # By a successor? Then Kafka would have refused this transaction. It says so to all who come now.
                raise StopWorker(set_back(self._names.raw, self.number, checkpoint.meta))
            self.state.commit(checkpoint)
            self._cut_off = False
            return True

    async def _write(self, checkpoint: Checkpoint) -> None:
        dead_letters, self._dead_letters = self._dead_letters, []
        await self._begin()
        await self._send_segments(checkpoint)
        await self._send_drops(checkpoint)
        await self._send_files(checkpoint)
        position = await self._send_books(checkpoint)
        await self._send_dead_letters(dead_letters)
        await self._commit()
        self._write_table(checkpoint, position)

    async def _begin(self) -> None:
        await self._producer.begin_transaction()

    async def _send_segments(self, checkpoint: Checkpoint) -> None:
        await self._send((key.encode(), value) for key, value in checkpoint.puts.items())

    async def _send_drops(self, checkpoint: Checkpoint) -> None:
        await self._send((key.encode(), None) for key in checkpoint.drops)

    async def _send_files(self, checkpoint: Checkpoint) -> None:
        await self._send(checkpoint.files())

    async def _send_books(self, checkpoint: Checkpoint) -> int:
        """Send the books, last of the changelog's records; returns the position behind them."""
        return await self._send([checkpoint.books()]) + 1

    async def _send(self, records: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Send to our changelog partition; returns the last record's offset, -1 for none."""
        send, topic = self._producer.send, self._names.changelog
        sent = [await send(topic, key=key, value=value, partition=self.number) for key, value in records]
        return max((done.offset for done in await asyncio.gather(*sent)), default=-1)

    async def _send_dead_letters(self, letters: list[DeadLetter]) -> None:
        sent = [await self._producer.send(self._names.rejected, letter.encode(self.state.birth)) for letter in letters]
        await asyncio.gather(*sent)

    async def _commit(self) -> None:
        await self._producer.commit_transaction()

    def _write_table(self, checkpoint: Checkpoint, position: int) -> None:
        self.table.write(checkpoint.records(), position)

    def flush(self, idle: bool) -> Flush:
        """The last checkpoint, for the sink; empty books before the first."""
        meta = self.state.committed or Meta()
        flushed = min(meta.flushed, self.state.flushed)
        # Read in one go, before anything is awaited: the table is now exactly what the last checkpoint wrote.
        segments = [
            StoredSegment(key, *self.state.live[key], self.table.load(key)) for key in self.state.since(flushed)
        ]

        def since(offset: int) -> Iterator[StoredSegment]:
            return (segment for segment in segments if segment.offset > offset)

        files = Files(*self.state.files_since(flushed))
        return Flush(self._names.raw, self.number, meta.ledger, flushed, meta.dropped, idle, since, files)

    async def close(self) -> None:
        """Let go, without a checkpoint, once one that is under way is done. May be called twice."""
        async with self._lock:
            if self.owned:
                self.owned = False
                self.table.close()
                await self._producer.stop()


def set_back(topic: str, partition: int, meta: Meta) -> str:
    """What is said of books that Postgres is ahead of."""
    return (
        f"the state of {topic}/{partition} was set back: Postgres held what was counted up to offset "
        f"{meta.overtaken} before the state had come there. Was the changelog topic deleted, restored from an older "
        "copy, or is this another Kafka? Begin again with `kpi reset`"
    )
