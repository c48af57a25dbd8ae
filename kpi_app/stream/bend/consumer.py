"""Whole fetches through faust's own assignment and flow control.

faust hands an agent one message at a time, at some 4,000 a second. Here a *message* is a whole fetch of one
partition: its value is a `Batch`, its offset that of the last record. The conductor, the streams' queues and the
generation checks of faust see nothing else than fewer messages.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import aiokafka
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from kpi_app.stream.bend import member, rights
from kpi_app.stream.bend.fetched import BareResults
from kpi_app.stream.bend.gather import Gather
from kpi_app.stream.bend.identity import identify
from kpi_app.stream.bend.records import Records
from kpi_app.stream.bend.stop import log

#: How long the broker holds a fetch that finds nothing. faust asks for 1,500 ms, and as aiokafka has one fetch
#: under way per broker, a fetch of quiet partitions would hold back the busy ones for that long.
FETCH_WAIT_MS = 50


#: How long a look at the topic may take.
LOOK_S = 5.0


class Batch(NamedTuple):
    """Consecutive records of one partition as a fetch brought them.

    `start` is the offset that the consumer asked for: what lies between it and the first record is not in the
    log. None when the position is not known to be ours (no explicit seek since the assignment).
    """

    start: int | None
    records: Records


class Look(NamedTuple):
    """What the brokers say of the source topic."""

    #: Made with the topic, of no other one; empty where the broker is too old to have any, or did not say.
    topic_id: str
    #: By partition; those without a position are left out.
    seen: dict[int, "Seen"]


class Seen(NamedTuple):
    """How far a partition was delivered, against where it ends. Offsets, all of the same moment."""

    #: Behind the last record that was handed out.
    delivered: int
    #: Where the next fetch starts: past markers of transactions, which are never handed out.
    position: int
    end: int


class BatchThread(driver.AIOKafkaConsumerThread):
    """The thread that fetches. `_starts` is touched on its own loop only, so a seek never races a fetch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._starts: dict[TopicPartition, int] = {}
        #: Lines that were there, as far as was known, when some were last handed out.
        self.waiting = 0
        #: How often a broker answered when it was asked for the topic.
        self.answers = 0

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._isolation_level = "read_committed"  # an aborted transaction's records never were lines
        return consumer

    async def on_start(self) -> None:
        """Start the consumer; nothing is fetched before its first assignment."""
        await super().on_start()
        member.watch_place(self._ensure_consumer())
        member.watch_partitions(self._ensure_consumer(), self.app.owner.source_topic, self._assigned)
        fetcher = self._ensure_consumer()._fetcher
        self._results = fetcher._records = BareResults(fetcher._records)

    async def on_thread_stop(self) -> None:
        """Leave the group, so that others have our partitions at once."""
        if self._consumer is not None:
            member.leave_at_the_end(self._consumer)
        await super().on_thread_stop()

    def _assigned(self) -> int:
        """How many partitions all workers have together, as of the last assignment."""
        told = self.app.router.tables_metadata().values()
        return len({number for topics in told for numbers in topics.values() for number in numbers})

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> dict[TopicPartition, Batch]:
        self._results.begin()
        with rights.needed():
            fetched = await super()._fetch_records(*args, **kwargs)
        # No await between aiokafka's return and here: the label belongs to these records.
        batches = {tp: self._label(tp, wholes) for tp, wholes in fetched.items() if wholes}
        self.waiting = sum(self._behind(tp, start) for tp, start in self._starts.items())
        return batches

    def _label(self, tp: TopicPartition, wholes: list[Records]) -> Batch:
        records = Records.joined(wholes)
        start = self._starts.get(tp)
        if start is not None:
            self._starts[tp] = records.offset + 1
        return Batch(start, records)

    def _behind(self, tp: TopicPartition, start: int) -> int:
        consumer = self._ensure_consumer()
        end = consumer.last_stable_offset(tp) if tp in consumer.assignment() else None
        return max(0, (end or 0) - start)

    async def seek_to(self, offsets: Mapping[TP, int]) -> None:
        """Position partitions explicitly, offset 0 too (aiokafka's own `seek_to_committed` skips it)."""
        await self.call_thread(self._seek_to, offsets)

    async def _seek_to(self, offsets: Mapping[TP, int]) -> None:
        consumer = self._ensure_consumer()
        self._starts = {tp: start for tp, start in self._starts.items() if tp in consumer.assignment()}
        for tp, offset in offsets.items():
            partition = TopicPartition(tp.topic, tp.partition)
            if partition in consumer.assignment():  # or it was just taken away
                consumer.seek(partition, offset)
                self._starts[partition] = offset

    async def look(self, topic: str, numbers: Iterable[int]) -> Look:
        """Ask for the topic, and for the ends of these partitions of it."""
        # Not by `call_thread`, which does two things at a time: fetches would wait for a broker that is away.
        look = asyncio.run_coroutine_threadsafe(self._look(topic, numbers), self.thread_loop)
        return await asyncio.wrap_future(look)

    async def _look(self, topic: str, numbers: Iterable[int]) -> Look:
        async with asyncio.timeout(LOOK_S):
            tps = [TP(topic, number) for number in numbers]
            topic_id = await self._identify(topic, LOOK_S / 2 if tps else LOOK_S)
            seen = await self._seen(tps)
            self.answers += bool(seen)
            return Look(topic_id, seen)

    async def _identify(self, topic: str, limit_s: float) -> str:
        """The topic's id; not known where the one broker that is asked does not answer: others may know the ends."""
        try:
            async with asyncio.timeout(limit_s):
                topic_id = await identify(self._ensure_consumer(), topic)
        except (KafkaError, TimeoutError) as error:
            log.debug("a broker was asked for the topic in vain: %s: %s", type(error).__name__, error)
            return ""
        self.answers += 1
        return topic_id

    async def _seen(self, tps: Iterable[TP]) -> dict[int, Seen]:
        consumer = self._ensure_consumer()
        known = [tp for tp in (TopicPartition(*tp) for tp in tps) if tp in self._starts]
        ends = await consumer.end_offsets(known) if known else {}
        return {
            tp.partition: Seen(self._starts[tp], await consumer.position(tp), end)
            for tp, end in ends.items()
            if tp in self._starts and tp in consumer.assignment()
        }

    async def ends(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Where partitions end, whoever they are assigned to."""
        ends: dict[TP, int] = await self.call_thread(self._ends, tps)
        return ends

    async def _ends(self, tps: Iterable[TP]) -> dict[TP, int]:
        ends = await self._ensure_consumer().end_offsets([TopicPartition(*tp) for tp in tps])
        return {TP(*tp): end for tp, end in ends.items()}


class _NoReadOffsets(dict[TP, int | None]):
    """faust drops a message below the last one it read; after a seek back that would be all of them.

    `fold` decides by the state what it has seen, so here nothing counts as read.
    """

    def __getitem__(self, tp: TP) -> None:
        return None


class BatchConsumer(driver.Consumer):
    """faust's consumer, with whole fetches and with positions that come from the state."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _NoReadOffsets()
        self._gather = Gather()

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:  # noqa: ASYNC109  faust calls it so
        await self._gather.wait(self.suspend_flow)
        batches, active = await super()._wait_next_records(timeout)
        self._gather.taken(sum(len(batch.records) for batch in (batches or {}).values()), self._thread.waiting)
        return batches, active

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109  faust calls it so
        """Yield one message a partition and fetch."""
        batches, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if batches is None or self.should_stop or not self.flow_active:
            return  # the take-over seeks before it resumes the flow: what was fetched meanwhile comes again
        for partition, batch in batches.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            tp = ensure_TP(partition)
            if active is None or tp in active:
                yield tp, _message(tp, batch, generation)

    def on_buffer_full(self, tp: TP) -> None:
        """Go on fetching all partitions: whoever puts the next batch into the full queue waits there.

        faust leaves this one out until the queue is empty, which it never is while the batches of others wait for it:
        in a replay one partition would run ahead, alone.
        """

    async def seek_to(self, offsets: Mapping[TP, int]) -> None:
        """Position partitions explicitly."""
        self._gather.anew()
        await self._thread.seek_to(offsets)

    async def look(self, topic: str, numbers: Iterable[int]) -> Look:
        """Ask a broker for the topic, and for the ends of these partitions of it."""
        look: Look = await self._thread.look(topic, numbers)
        return look

    @property
    def answers(self) -> int:
        """How often a broker answered when it was asked for the topic."""
        return int(self._thread.answers)

    @property
    def fetching_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the thread that fetches, and speaks with the group."""
        loop: asyncio.AbstractEventLoop = self._thread.thread_loop
        return loop

    async def ends(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Where partitions end, whoever they are assigned to."""
        ends: dict[TP, int] = await self._thread.ends(tps)
        return ends

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Checkpoint first: faust would forget what was done since its last commit."""
        self.stop_flow()
        await self.app.owner.give_up(self._of_source(revoked))
        await super().on_partitions_revoked(revoked)

    def _of_source(self, tps: set[TP]) -> set[int]:
        return {tp.partition for tp in tps if tp.topic == self.app.owner.source_topic}

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        if self.app.rebalancing:
            # A commit between joining and syncing has the wrong generation: aiokafka would join anew, the others
            # with it, and their commits come at the same moment of the next round, for ever.
            return iter(())
        return (tp for tp in self.assignment() if tp.topic == self.app.owner.source_topic)

    def _new_offset(self, tp: TP) -> int | None:
        offset = self.app.owner.committed().get(tp.partition)
        return None if offset == self._committed_offset[tp] else offset


def _message(tp: TP, batch: Batch, generation: int) -> ConsumerMessage:
    return ConsumerMessage(
        tp.topic,
        tp.partition,
        batch.records.offset,
        (batch.records.times[-1] or 0) / 1000.0,
        0,
        None,
        None,
        batch,
        None,
        0,
        0,
        tp,
        generation_id=generation,
    )


class BatchTransport(driver.Transport):
    """faust's aiokafka transport with the batched consumer."""

    Consumer = BatchConsumer
