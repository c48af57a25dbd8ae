"""What a worker does besides folding: checkpoints, watching the ends, flushing, merging. Each for ever.

The sink's troubles stay in these loops. `SinkBusy` waits and tries again while folding and checkpoints go on;
anything else ends the worker.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from kpi_app.errors import SinkBusy, StopWorker
from kpi_app.sinks.base import Sink
from kpi_app.stream.bend import Look
from kpi_app.stream.bend.stop import log, stop_worker
from kpi_app.stream.metrics import Metrics
from kpi_app.stream.ownership import Ownership
from kpi_app.stream.partition import Partition, Watched
from kpi_app.stream.takeover import check_id, made_anew

#: First and longest wait after the sink was busy.
BACKOFF_S = (0.5, 5.0)

#: How often the ends of the partitions are looked at, and how old a look may be to speak of idleness.
WATCH_EVERY_S = 2.0
WATCH_VALID_S = 3 * WATCH_EVERY_S

#: How often the sink is tidied.
TIDY_EVERY_S = 10.0

#: How often the sink is told again that a partition is idle; it forgets after `LEASE_S` (see sinks).
RENEW_EVERY_S = 5.0

#: After a merge the next one waits until no lines are being folded, but no more than so many times what it took: a
#: worker that is behind has a tenth of its time for merges.
YIELD = 9.0

#: Flushes under way at once; the sink has a connection more, for the merge.
FLUSHES = 3


async def forever(name: str, step: Callable[[], Awaitable[None]], metrics: Metrics, finished: asyncio.Event) -> None:
    """Run a step again and again; back off while the sink is busy, end the worker on anything else.

    Once the worker has `finished`, its sink is closed: then nothing is left to try again.
    """
    wait_s, longest_s = BACKOFF_S
    while not finished.is_set():
        try:
            await step()
            wait_s = BACKOFF_S[0]
        except SinkBusy as busy:
            if finished.is_set():
                return
            metrics.sink_busy.labels(name).inc()
            log.warning("%s: %s; trying again in %.1f s", name, busy, wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, longest_s)
        except Exception as error:
            stop_worker(name, error)


class Loops:
    """The loops of one worker. `calm` is set while no lines are being folded."""

    def __init__(
        self,
        owned: Ownership,
        sink: Sink,
        look: Callable[[set[int]], Awaitable[Look]],
        calm: asyncio.Event,
        emit_every_s: float,
        idle_after_s: float,
        metrics: Metrics,
    ) -> None:
        self._owned = owned
        self._sink = sink
        self._look = look
        self._calm = calm
        self._emit_every_s = emit_every_s
        self._idle_after_s = idle_after_s
        self._metrics = metrics
        self._expected = 0
        self._flushed = asyncio.Event()
        self._slots = asyncio.Semaphore(FLUSHES)
        self._merging = asyncio.Lock()

    async def checkpoint(self) -> None:
        """Every KPI_EMIT_EVERY, all partitions."""
        await asyncio.sleep(self._emit_every_s)
        await self._owned.checkpoint_all()

    async def watch(self) -> None:
        """Ask the broker where our partitions end; a failure makes every one of them not idle."""
        await asyncio.sleep(WATCH_EVERY_S)
        partitions = dict(self._owned.partitions)
        if not partitions:
            return
        counted = {number: partition.state.committed_offset for number, partition in partitions.items()}
        try:
            async with asyncio.timeout(WATCH_VALID_S):
                look = await self._look(set(partitions))
        except Exception as error:
            log.warning("cannot see the ends of the partitions: %s", str(error) or type(error).__name__)
            return
        for number, partition in partitions.items():
            check_id(self._owned.names.raw, number, partition.state, look.topic_id)
        for number, where in look.seen.items():
            if where.end < counted[number]:
                raise StopWorker(made_anew(self._owned.names.raw, number, where.end, counted[number]))
            partitions[number].watched = Watched(monotonic(), where)

    async def flush(self) -> None:
        """Bring each partition's last checkpoint to the sink."""
        await _either(self._owned.checkpointed, self._emit_every_s)
        self._owned.checkpointed.clear()
        await self.flush_all()

    async def flush_all(self) -> None:
        """Flush every partition that has something to tell."""
        if self._expected < self._owned.partition_count:
            await self._sink.expect(self._owned.names.raw, self._owned.partition_count)
            self._expected = self._owned.partition_count
        now_s = monotonic()
        due = [p for p in self._owned.partitions.values() if self._due(p, now_s)]
        done = await asyncio.gather(*(self._flush(p, now_s) for p in due), return_exceptions=True)
        failures = [failure for failure in done if isinstance(failure, BaseException)]
        for failure in sorted(failures, key=lambda failure: isinstance(failure, SinkBusy)):
            raise failure  # the worst: what ends the worker before what passes
        if due:
            self._flushed.set()

    async def merge(self) -> None:
        """Unite what was flushed, here or elsewhere; while lines are waiting, they get more of the time."""
        await _either(self._flushed, self._emit_every_s)
        self._flushed.clear()
        began_s = monotonic()
        while await self._merged():
            await _either(self._calm, YIELD * (monotonic() - began_s))
            began_s = monotonic()

    async def merge_all(self) -> None:
        """Merge until nothing is left, what the loop has in hand included."""
        while await self._merged():
            pass

    async def tidy(self) -> None:
        """Unite segments that no line reaches any more, and drop what is too old."""
        await asyncio.sleep(TIDY_EVERY_S)
        while await self._sink.tidy():
            pass

    async def _merged(self) -> bool:
        async with self._merging:  # one merge passes over the windows of another, which would then seem done
            began_s = monotonic()
            merged = await self._sink.merge() > 0
            if merged:
                self._metrics.merge_s.observe(monotonic() - began_s)
            return merged

    def idle(self, partition: Partition, now_s: float) -> bool:
        """Connected, caught up, checkpointed, and nothing seen for KPI_IDLE_AFTER."""
        watched, state = partition.watched, partition.state
        return (
            watched is not None
            and now_s - watched.at_s < WATCH_VALID_S
            and watched.seen.position >= watched.seen.end
            and watched.seen.delivered <= state.committed_offset == state.ledger.next_offset
            and watched.at_s - partition.seen_s >= self._idle_after_s  # what came later may not have been fetched yet
        )

    def _due(self, partition: Partition, now_s: float) -> bool:
        idle = self.idle(partition, now_s)
        behind = partition.state.committed_offset - 1 > partition.state.flushed
        renew = idle and now_s - partition.told_s >= RENEW_EVERY_S
        return behind or renew or idle != partition.told_idle

    async def _flush(self, partition: Partition, now_s: float) -> None:
        idle = self.idle(partition, now_s)
        async with self._slots, partition.flushing:
            if not partition.owned:
                return  # given up while it waited for its turn: its table is closed, its next owner flushes
            flush = partition.flush(idle)
            with self._metrics.flush_s.time():
                flushed = await self._sink.flush(flush)
        if flushed < flush.flushed:
            log.warning(
                "Postgres was set back: it holds partition %d up to offset %d, but had it up to %d; the state still "
                "has what is missing, and brings it again",
                partition.number,
                flushed,
                flush.flushed,
            )
            partition.state.flushed = flushed  # from now on nothing that it lacks is dropped
            return
        partition.state.flushed = max(partition.state.flushed, flushed)
        if flushed > flush.ledger.next_offset - 1:
            partition.state.overtaken = flushed  # by a successor, or the state was set back: its checkpoint will tell
        partition.told_idle, partition.told_s = idle, now_s


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, but no longer than this."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
