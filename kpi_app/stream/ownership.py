"""The source partitions that this worker owns: take-over, fold, checkpoint, give-up."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from faust.types import TP

from kpi_app.core.fold import Folded, TimeRules
from kpi_app.errors import StopWorker
from kpi_app.feeds.base import Feed
from kpi_app.feeds.envelope import decode
from kpi_app.settings import Settings
from kpi_app.stream.bend import Batch
from kpi_app.stream.bend.stop import log, stop_worker
from kpi_app.stream.deadletters import DeadLetter
from kpi_app.stream.fold import Folding, fold_records
from kpi_app.stream.kafka import TRANSACTION_TIMEOUT_MS, changelog_reader, transactional_producer
from kpi_app.stream.metrics import Metrics
from kpi_app.stream.partition import Partition
from kpi_app.stream.table import TablePartition
from kpi_app.stream.takeover import catch_up, check_source, load_state, made_anew
from kpi_app.stream.topics import Names, ensure_topics

#: A checkpoint that takes longer fails: by then Kafka has given its transaction up. aiokafka would wait for a broker
#: that is away for as long as it takes.
CHECKPOINT_S = TRANSACTION_TIMEOUT_MS / 1_000

#: A checkpoint before a partition is given up may take this long; after it the worker ends itself instead.
GIVE_UP_S = 5.0

#: Segments and dead letters of one partition that may wait for a checkpoint: more, and it comes early.
PENDING_LIMIT = 2_000


class Source(Protocol):
    """The consumer of the raw topic."""

    async def seek_to(self, offsets: Mapping[TP, int]) -> None:
        """Position partitions explicitly."""
        ...

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """The first offset that the log still holds, by partition."""
        ...


class Ownership:
    """Owns partitions of one feed's raw topic. `store()` gives the faust table's store, `source()` the consumer."""

    def __init__(
        self,
        settings: Settings,
        feed: Feed,
        store: Callable[[], Any],
        source: Callable[[], Source],
        metrics: Metrics,
    ) -> None:
        self.partitions: dict[int, Partition] = {}
        #: What the group gave us; None before the first time, and from a give-up to the next take-over.
        self.assigned: frozenset[int] | None = None
        #: Lines rejected by reason, and late lines counted, since the start.
        self.dead_letters: Counter[str] = Counter()
        self.late = 0
        self.names = Names(settings.topic)
        #: Partitions of the raw topic, as of the last look.
        self.partition_count = 0
        #: How often partitions were given up.
        self.given_up = 0
        #: What this worker waits for in vain, by its watchdog; None while all goes on.
        self.stalled: str | None = None
        #: Set by each checkpoint that wrote something; the flusher clears it.
        self.checkpointed = asyncio.Event()
        self._settings = settings
        self._feed = feed
        self._store = store
        self._source = source
        self._metrics = metrics
        self._committed: dict[int, int] = {}
        self._loading: dict[int, TablePartition] = {}
        #: Since when our partitions stand still (monotonic seconds).
        self._still_since_s: float | None = None
        # a take-over that the next rebalance cancels must let go of its tables before the next one opens them
        self._taking_over = asyncio.Lock()
        self._folding = Folding(feed, settings.reading, rules(settings))

    async def count_partitions(self) -> None:
        """Make missing topics; learn how many partitions there are. Raises `UserError`."""
        self.partition_count = await ensure_topics(self._settings)

    @property
    def loaded(self) -> int:
        """Moves as long as the take-over under way does."""
        return sum(table.steps for table in self._loading.values())

    def committed(self) -> Mapping[int, int]:
        """The next offset by partition as of the last checkpoint of each that was ever owned."""
        return self._committed

    async def take_over(self, numbers: set[int]) -> Mapping[int, int] | None:
        """Load the state of these partitions; returns the offset at which each goes on.

        None when they were taken away meanwhile.
        """
        async with self._taking_over:
            return await self._take_over(numbers)

    async def _take_over(self, numbers: set[int]) -> Mapping[int, int] | None:
        # shielded: a checkpoint must not be cut off by the next rebalance
        await asyncio.shield(self.give_up(set(self.partitions)))
        self.assigned, given_up = frozenset(numbers), self.given_up
        if numbers and max(numbers) >= self.partition_count:
            await self.count_partitions()  # partitions were added: the changelog needs them too
        producers = await self._fence(numbers)
        tables = self._loading = {}
        try:
            tables.update((number, TablePartition(self._store(), number)) for number in numbers)
            loaded = await self._load(tables, producers)
            if self.given_up != given_up:
                raise _TakenAway
        except BaseException as error:
            for table in tables.values():
                table.close()
            await asyncio.shield(asyncio.gather(*(producer.stop() for producer in producers.values())))
            if isinstance(error, _TakenAway):
                return None
            raise
        self.partitions = loaded
        offsets = {number: partition.state.ledger.next_offset for number, partition in loaded.items()}
        self._committed.update((number, offset) for number, offset in offsets.items() if offset)
        self._go_on()
        log.info("took over %d partitions at offsets %s", len(offsets), offsets)
        return offsets

    def _go_on(self) -> None:
        """Say how long a rebalance held our partitions up; a start holds up none of ours."""
        if self._still_since_s is not None:
            pause_s = monotonic() - self._still_since_s
            self._still_since_s = None
            self._metrics.pause_s.observe(pause_s)
            log.info("the rebalance took %.1f s", pause_s)

    async def _fence(self, numbers: set[int]) -> dict[int, AIOKafkaProducer]:
        """Start each partition's producer: the predecessor's can't write any more, its transaction is ended."""
        producers = {
            number: transactional_producer(self._settings, self.names.transactional_id(number)) for number in numbers
        }
        try:
            await asyncio.gather(*(producer.start() for producer in producers.values()))
        except BaseException:
            await asyncio.gather(*(producer.stop() for producer in producers.values()), return_exceptions=True)
            raise
        return producers

    async def _load(
        self, tables: dict[int, TablePartition], producers: dict[int, AIOKafkaProducer]
    ) -> dict[int, Partition]:
        if not tables:
            return {}
        async with changelog_reader(self._settings) as reader:
            await catch_up(reader, self.names.changelog, tables)
            measures, time_rules = self._feed.measures, self._folding.rules
            states = {}
            for n, table in tables.items():
                states[n] = load_state(self.names.raw, n, table, time_rules, measures)
                await asyncio.sleep(0)  # a large one takes a moment: the loop turns between two
            await check_source(reader, self.names.raw, states)
        return {
            number: Partition(number, self.names, state, tables[number], producers[number])
            for number, state in states.items()
        }

    async def warm_up(self) -> None:
        """Load what parsing needs, seconds of work, before there is a batch; several threads would do it at once."""
        lines = decode([self._feed.example.encode()])
        await asyncio.to_thread(self._feed.parse, lines, self._folding.reading)

    def tell_visitors_by(self, key: bytes) -> None:
        """Hash visitors with this key; before the first fold."""
        self._folding = replace(self._folding, reading=replace(self._folding.reading, visitor_key=key))

    async def fold(self, number: int, batch: Batch) -> None:
        """Fold a batch if it continues the state of its partition; otherwise seek back to where it goes on."""
        partition = self.partitions.get(number)
        if partition is None:
            return
        ledger = partition.state.ledger
        first = batch.records.offsets[0]
        if batch.start is not None and first < batch.start:
            raise StopWorker(made_anew(self.names.raw, number, first, batch.start))
        if (first if batch.start is None else batch.start) > ledger.next_offset:
            await self._source().seek_to({TP(self.names.raw, number): ledger.next_offset})
            return
        if first > ledger.next_offset and not await self._skip(partition, first):
            return
        ledger = partition.state.ledger
        result = await asyncio.to_thread(
            fold_records,
            batch.records,
            ledger.next_offset,
            ledger.watermark_us,
            self._folding,
            TP(self.names.raw, number),
            ledger.passed_us,
            partition.state.birth,
            partition.state.seen,
        )
        if result is None or not partition.owned:
            return  # seen already; or given up meanwhile: whoever has it now reads these lines again
        partition.apply(*result)
        self._count(*result)
        if partition.pending > PENDING_LIMIT:
            await self.checkpoint(partition)

    async def _skip(self, partition: Partition, first: int) -> bool:
        """Pass over offsets that the log does not hold; returns whether the partition is still ours.

        Below the log's first offset they were removed before they were read, which is a loss and is counted as
        one. Above it they never were lines: markers of transactions, or aborted records.
        """
        tp = TP(self.names.raw, partition.number)
        next_offset = partition.state.ledger.next_offset
        earliest = (await self._source().earliest_offsets(tp))[tp]
        if not partition.owned:
            return False
        lost = max(0, min(earliest, first) - next_offset)
        if lost:
            log.error("%s: %d offsets from %d were removed before they were read", tp, lost, next_offset)
        partition.state.skip(first, lost)
        return True

    def _count(self, folded: Folded, letters: list[DeadLetter]) -> None:
        self.dead_letters.update(letter.reason for letter in letters)
        self.late += sum(values["requests"] for key, values in folded.parts.items() if key.part > 0)

    async def checkpoint(self, partition: Partition) -> None:
        """Take a checkpoint of one partition; what fails ends the worker."""
        began_s = monotonic()
        try:
            async with asyncio.timeout(CHECKPOINT_S):
                wrote = await partition.checkpoint()
        except TimeoutError:
            stop_worker(f"cannot checkpoint partition {partition.number}: no answer from Kafka in {CHECKPOINT_S:g} s")
        except Exception as error:
            stop_worker(f"cannot checkpoint partition {partition.number}", error)
        if wrote:
            self._metrics.checkpoint_s.observe(monotonic() - began_s)
            self._committed[partition.number] = partition.state.committed_offset
            self.checkpointed.set()

    async def checkpoint_all(self) -> None:
        """Take a checkpoint of every partition."""
        await asyncio.gather(*(self.checkpoint(partition) for partition in list(self.partitions.values())))

    async def checkpoint_last(self, given: Iterable[Partition]) -> None:
        """Take the checkpoints before partitions are given up; the worker ends when they take too long."""
        try:
            async with asyncio.timeout(GIVE_UP_S):
                await asyncio.gather(*(self.checkpoint(partition) for partition in given))
        except TimeoutError as error:
            stop_worker("checkpoints before giving up partitions took too long", error)

    async def give_up(self, numbers: set[int]) -> None:
        """Checkpoint and let go of these partitions."""
        self.assigned = None
        self.given_up += 1
        if self._still_since_s is None and self.partitions:
            self._still_since_s = monotonic()
        given = [self.partitions[number] for number in sorted(numbers & self.partitions.keys())]
        await self.checkpoint_last(given)
        for partition in given:
            self.partitions.pop(partition.number, None)
        await asyncio.gather(*(partition.close() for partition in given))


class _TakenAway(Exception):
    """The partitions were given up while they were taken over."""


def rules(settings: Settings) -> TimeRules:
    """The settings that decide where a line counts."""
    return TimeRules(
        window_s=settings.base_window_s,
        grace_s=settings.grace,
        future_limit_s=settings.future_limit,
        correct_for_s=settings.correct_for,
    )
