"""Mechanisms of the protocol, each taken away by a patch of the product in the victim's process.

A test that the mechanism is needed shows that a scenario goes wrong without it. A patch that finds something else
than it was written for fails the start of the victim, and with it the test.

Four mechanisms can't be caught alone, because another one does their work, too:

- the explicit seek: without it the fold notices that a batch does not continue the state, and seeks itself;
- the filter `o > f` in flush: what it holds back is what Postgres has already, byte by byte, as long as a
  checkpoint older than the ledger is refused;
- the lock on the ledger's row: where an older flush has overwritten a newer one, the ledger was set back, which the
  next flush notices and mends, as long as nothing was dropped;
- the checkpoint before a partition is given up: without it the next owner reads the same lines again. It saves work.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from kpi_app.core.segment import Head, SegmentKey
from kpi_app.core.state import Checkpoint, PartitionState
from kpi_app.sinks import flush as flushing
from kpi_app.sinks import merge as merging
from kpi_app.sinks.flush import _SQL as FLUSH_SQL
from kpi_app.sinks.merge import _SQL as MERGE_SQL
from kpi_app.stream import loops, ownership, takeover, watchdog
from kpi_app.stream.bend.consumer import BatchConsumer
from kpi_app.stream.ownership import Ownership
from kpi_app.stream.partition import Partition
from kpi_app.stream.topics import Names

_PATCHES: dict[str, Callable[[], None]] = {}


def apply(name: str) -> None:
    """Take a mechanism away, in this process."""
    _PATCHES[name]()


def _mutation(patch: Callable[[], None]) -> Callable[[], None]:
    _PATCHES[patch.__name__] = patch
    return patch


def _replace_sql(queries: dict[str, str], name: str, pattern: str, replacement: str) -> None:
    queries[name], count = re.subn(pattern, replacement, queries[name])
    assert count == 1, f"{name} has no {pattern} any more"


@_mutation
def no_fencing() -> None:
    """Every owner has a transactional id of its own."""
    Names.transactional_id = lambda self, partition: f"{self.app}-{partition}-{uuid4()}"  # type: ignore[method-assign]


@_mutation
def books_in_a_transaction_of_their_own() -> None:
    """A checkpoint is two transactions: the books, then the rest."""
    send_segments = Partition._send_segments

    async def books_first(self: Partition, checkpoint: Any) -> None:
        await self._send_books(checkpoint)
        await self._commit()
        await self._begin()
        await send_segments(self, checkpoint)

    Partition._send_segments = books_first  # type: ignore[method-assign]


@_mutation
def files_in_a_transaction_of_their_own() -> None:
    """A checkpoint is two transactions: all up to the files, then the books."""
    send_files = Partition._send_files

    async def committed(self: Partition, checkpoint: Any) -> None:
        await send_files(self, checkpoint)
        await self._commit()
        await self._begin()

    Partition._send_files = committed  # type: ignore[method-assign]


@_mutation
def files_are_in_memory_only() -> None:
    """A checkpoint writes none."""
    Checkpoint.files = lambda self: iter(())  # type: ignore[method-assign]


@_mutation
def dead_letters_outside_the_transaction() -> None:
    """Dead letters are sent by a producer without transactions."""

    async def send(self: Partition, letters: Iterable[Any]) -> None:
        async with AIOKafkaProducer(bootstrap_servers=os.environ["KPI_BROKERS"]) as producer:
            for letter in letters:
                await producer.send_and_wait(self._names.rejected, letter.encode())

    Partition._send_dead_letters = send  # type: ignore[method-assign]


@_mutation
def catch_up_reads_uncommitted() -> None:
    """The take-over reads what no transaction has committed."""
    make = ownership.changelog_reader

    def reader(settings: Any) -> Any:
        consumer = make(settings)
        consumer._isolation_level = "read_uncommitted"
        return consumer

    ownership.changelog_reader = reader


@_mutation
def position_moves_by_acknowledgement() -> None:
    """The table's position in the changelog moves as soon as the broker has the records, the records later."""
    send_books, commit = Partition._send_books, Partition._commit

    async def remember(self: Partition, checkpoint: Any) -> int:
        self.acknowledged = await send_books(self, checkpoint)  # type: ignore[attr-defined]
        return self.acknowledged  # type: ignore[attr-defined,no-any-return]

    async def move(self: Partition) -> None:
        await commit(self)
        self.table.write((), self.acknowledged)  # type: ignore[attr-defined]

    Partition._send_books, Partition._commit = remember, move  # type: ignore[method-assign]


@_mutation
def births_are_ignored() -> None:
    """A table is brought up to whatever changelog has its name."""
    assert hasattr(takeover, "_birth")
    takeover._birth = lambda table: "always the same"


@_mutation
def ids_are_ignored() -> None:
    """A topic is whatever has its name."""
    assert hasattr(takeover, "check_id")
    takeover.check_id = loops.check_id = lambda *_: None


@_mutation
def no_explicit_seek() -> None:
    """After a take-over reading goes on where the group's offsets say."""

    async def stay(self: BatchConsumer, offsets: Any) -> None:
        return None

    seek = BatchConsumer.seek_to

    async def only_back(self: BatchConsumer, offsets: Any) -> None:
        """Leaves the fold's own seek alone, which is of one partition that is flowing."""
        await (seek(self, offsets) if self.flow_active else stay(self, offsets))

    BatchConsumer.seek_to = only_back  # type: ignore[method-assign]


@_mutation
def no_contiguity_check() -> None:
    """A batch is folded whether or not it continues the state."""
    fold = Ownership.fold

    async def always(self: Ownership, number: int, batch: Any) -> None:
        state = self.partitions[number].state
        await fold(self, number, batch._replace(start=state.ledger.next_offset))

    Ownership.fold = always  # type: ignore[method-assign]


@_mutation
def lower_offsets_are_folded_again() -> None:
    """Offsets that the state has seen are not skipped."""
    fold_records = ownership.fold_records
    ownership.fold_records = lambda records, next_offset, *rest: fold_records(records, 0, *rest)


@_mutation
def older_checkpoints_are_flushed() -> None:
    """A flush that comes too late is not refused."""
    lock = flushing.lock_ledger

    async def behind(session: Any, flush: Any) -> tuple[int, int]:
        held, _ = await lock(session, flush)
        return min(held, flush.ledger.next_offset - 2), 0

    flushing.lock_ledger = behind


@_mutation
def ledger_is_not_locked() -> None:
    """Two flushes of a partition go on side by side."""
    _replace_sql(FLUSH_SQL, "lock_ledger", r" FOR UPDATE", "")


@_mutation
def nothing_is_flushed_again() -> None:
    """A ledger that was set back stops the worker, whatever the state still has."""
    lock = flushing.lock_ledger

    async def final(session: Any, flush: Any) -> tuple[int, int]:
        object.__setattr__(flush, "dropped", flush.flushed)
        return await lock(session, flush)

    flushing.lock_ledger = final


@_mutation
def restored_backup_goes_unnoticed() -> None:
    """A database that holds less than the state has dropped is written to."""
    lock = flushing.lock_ledger

    async def forgetful(session: Any, flush: Any) -> tuple[int, int]:
        held, lines = await lock(session, flush)
        object.__setattr__(flush, "flushed", min(flush.flushed, held))
        object.__setattr__(flush, "dropped", min(flush.dropped, held))
        return held, lines

    flushing.lock_ledger = forgetful


@_mutation
def marks_are_unique() -> None:
    """A window that is marked is not marked again."""
    marks = "SELECT FROM dirty_window WHERE topic = $1 AND window_seconds = $2 AND window_start = w.window_start"
    _replace_sql(FLUSH_SQL, "mark_windows", r"AS window_start;?$", f"AS w (window_start) WHERE NOT EXISTS ({marks})")


@_mutation
def marks_are_taken_last() -> None:
    """Merge reads the segments first and deletes the marks then."""

    read, take = merging.read_states, merging.take_marks
    found: list[Any] = []

    async def read_and_take(*arguments: Any) -> Any:
        found[:] = [await read(*arguments)]
        return await take(*arguments)

    async def what_was_read(*_: Any) -> Any:
        return found[0]

    merging.take_marks, merging.read_states = read_and_take, what_was_read


@_mutation
def windows_are_not_locked() -> None:
    """Two merges of a window go on side by side."""
    _replace_sql(MERGE_SQL, "lock_windows", r"(pg_try_advisory_xact_lock\(.*\))", r"\1 IS NOT NULL")


@_mutation
def dropped_before_flushed() -> None:
    """A sealed segment leaves the state whether or not Postgres has it."""

    def droppable(self: PartitionState, key: SegmentKey, live: Head) -> bool:
        return key not in self._touched and self._sealed(key)

    PartitionState._droppable = droppable  # type: ignore[method-assign]


@_mutation
def one_flush_at_a_time() -> None:
    """Not a mechanism less, but flushes that wait for each other."""
    loops.FLUSHES = 1


@_mutation
def impatient_checkpoints() -> None:
    """Not a mechanism less, but one that comes into force sooner."""
    ownership.CHECKPOINT_S = 3.0


@_mutation
def one_window_a_merge() -> None:
    """Not a mechanism less, but merges of one window each."""
    merging.WINDOWS = 1


@_mutation
def quick_looks() -> None:
    """Not a mechanism less, but Kafka, and the ends of partitions, are asked for more often."""
    loops.WATCH_EVERY_S = watchdog.ASK_EVERY_S = 0.2


@_mutation
def the_loop_hangs() -> None:
    """A fault: whoever folds keeps the loop to himself."""

    async def hang(self: Ownership, number: int, batch: Any) -> None:
        time.sleep(3_600)  # noqa: ASYNC251  that is the fault

    Ownership.fold = hang  # type: ignore[method-assign]


@_mutation
def a_fold_hangs() -> None:
    """A fault: the thread that folds a batch does not come to its end."""
    ownership.fold_records = lambda *_: time.sleep(3_600)


@_mutation
def a_fold_keeps_the_lock() -> None:
    """A fault: a regular expression that takes for ever; no thread of Python runs meanwhile."""
    ownership.fold_records = lambda *_: re.match("(a+)+$", "a" * 60 + "b")


@_mutation
def nothing_is_handed_out() -> None:
    """A fault: what is fetched does not arrive, as if the partitions were paused for ever."""

    async def wait(self: BatchConsumer, timeout: float) -> Any:  # noqa: ASYNC109  as faust has it
        await asyncio.sleep(timeout)
        return None, None

    BatchConsumer._wait_next_records = wait  # type: ignore[method-assign]


@_mutation
def folds_wait_for_a_flush() -> None:
    """Not a mechanism less, but Postgres is heard of before anything is read."""
    fold = Ownership.fold

    async def wait(self: Ownership, number: int, batch: Any) -> None:
        while not self.partitions[number].told_s:  # noqa: ASYNC110  nobody sets an event
            await asyncio.sleep(0.01)
        await fold(self, number, batch)

    Ownership.fold = wait  # type: ignore[method-assign]
