"""A raw topic with its dead letters, and a worker's reading of it without a worker: same fold, same letters."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from faust.types import TP

from kpi_app.core.fold import TimeRules
from kpi_app.core.ledger import Ledger
from kpi_app.core.state import PartitionState
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.base import Reading
from kpi_app.rejected.command import summary_of
from kpi_app.rejected.letters import Place
from kpi_app.rejected.outcome import Outcome
from kpi_app.rejected.outgoing import Outgoing
from kpi_app.rejected.replay import Replay
from kpi_app.rejected.summary import Summary
from kpi_app.settings import Settings
from kpi_app.stream.bend import Records
from kpi_app.stream.deadletters import Letter, read_back
from kpi_app.stream.fold import Folding, fold_records
from kpi_app.stream.kafka import transactional_producer
from kpi_app.stream.topics import Names

RULES = TimeRules(window_s=60, grace_s=60, future_limit_s=60)
#: When the records of `line`s came, milliseconds.
CAME_MS = 1_684_851_668_000
BIRTH = "b1"
ROOT = Path(__file__).parents[2]


def line(number: int) -> bytes:
    """A line in the format `common`."""
    return f'192.0.2.{number % 256} - - [23/May/2023:14:21:08 +0000] "GET /{number} HTTP/1.1" 200 5'.encode()


def settings(stage: "Stage") -> dict[str, str]:
    """What leads a command there."""
    return {"KPI_BROKERS": stage.settings.brokers, "KPI_TOPIC": stage.names.raw, "PYTHONPATH": str(ROOT)}


def victim(step: str, when: str, number: str, call: int) -> tuple[str, ...]:
    """The command line of a replay that gets a signal, as `victim.py` says."""
    return (sys.executable, str(ROOT / "tests/rejected/victim.py"), step, when, number, str(call))


class Stage:
    """What a test of replay works with."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, partitions: int) -> None:
        self.settings = settings
        self.names = Names(settings.topic)
        self._producer = producer
        self._partitions = range(partitions)

    async def send(self, lines: Sequence[bytes | None], partition: int = 0, **how: Any) -> None:
        """Send lines to the raw topic."""
        how = {"timestamp_ms": CAME_MS, "key": b"k"} | how
        for value in lines:
            await self._producer.send_and_wait(self.names.raw, value, partition=partition, **how)

    async def work(self, log_format: str = "auto", birth: str = BIRTH, anonymise_ip: bool = True) -> Counter[str]:
        """Read the raw topic from its start as a worker with new books does; returns the books of all partitions.

        Its letters are committed with a transaction, as a worker's are; only those of lines that have none yet.
        """
        by = Folding(ACCESS, Reading(log_format, anonymise_ip=anonymise_ip), RULES)
        known = {(found.partition, found.offset) for _, found in await self.letters()}
        books = Counter[str]()
        producer = transactional_producer(self.settings, self.names.transactional_id(0))
        async with producer, producer.transaction():
            for number in self._partitions:
                state = PartitionState(RULES, ACCESS.measures, {}.__getitem__, birth=birth)
                where = TP(self.names.raw, number)
                if result := fold_records(Records.of(await self.raw(number)), 0, None, by, where, None, birth):
                    folded, letters = result
                    state.apply(folded)
                    for letter in letters:
                        if (number, letter.offset) not in known:
                            await producer.send(self.names.rejected, letter.encode(birth))
                books.update(_counters(state.ledger))
        assert books["lines"] == sum(books[each] for each in ("counted", "rejected", "late_dropped", "duplicates"))
        return books

    async def write_letters(self, values: Sequence[bytes | None], partition: int | None = None) -> None:
        """Write to the topic of dead letters what is none of ours."""
        for value in values:
            await self._producer.send_and_wait(self.names.rejected, value, key=b"", partition=partition)

    async def letters(self) -> list[tuple[Place, Letter]]:
        """The letters, with their places."""
        records = await self.read(self.names.rejected)
        found = [(Place(each.partition, each.offset), read_back(each.value, self.names.raw)) for each in records]
        return [(place, content) for place, content in found if isinstance(content, Letter)]

    async def replay(self, reason: str | None = None, dry: bool = False, **settings: Any) -> Outcome:
        """Replay in this process."""
        run = Replay(self.settings.model_copy(update=settings), reason, dry)
        await run.run(lambda done, total: None)
        return run.outcome

    async def held_replay(
        self, step: str, go_on: asyncio.Event, monkeypatch: pytest.MonkeyPatch
    ) -> "asyncio.Task[Outcome]":
        """A replay that has come to a step of `Outgoing`, and waits in front of it; later ones pass."""
        stopped, original = asyncio.Event(), getattr(Outgoing, step)

        async def paused(self: Outgoing, *arguments: Any) -> None:
            stopped.set()
            await go_on.wait()
            await original(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Outgoing, step, paused)
            held = asyncio.create_task(self.replay())
            await stopped.wait()
        return held

    async def listed(self, reason: str | None = None) -> Summary:
        """What `kpi rejected` lists."""
        return await summary_of(self.settings, reason, lambda done, total: None)

    async def raw(self, partition: int) -> list[Any]:
        """The committed records of a partition of the raw topic."""
        return await self.read(self.names.raw, partition)

    async def copies(self) -> list[Any]:
        """The lines that were sent through again."""
        return [record for record in await self.read(self.names.raw) if dict(record.headers).get("kpi-replay")]

    async def read(self, topic: str, *numbers: int) -> list[Any]:
        """All committed records of some partitions of a topic."""
        options = {"bootstrap_servers": self.settings.brokers, "auto_offset_reset": "earliest"}
        tps = [TopicPartition(topic, number) for number in numbers or self._partitions]
        async with AIOKafkaConsumer(**options) as consumer:
            ends = await consumer.end_offsets(tps)
        behind, found = [tp for tp in tps if ends[tp]], list[Any]()
        if not behind:
            return found  # aiokafka stumbles over a consumer that is stopped as soon as it has partitions
        async with AIOKafkaConsumer(**options, isolation_level="read_committed", fetch_max_wait_ms=20) as consumer:
            consumer.assign(tps)
            while behind:
                for records in (await consumer.getmany(*behind, timeout_ms=50)).values():
                    found += records
                behind = [tp for tp in behind if await consumer.position(tp) < ends[tp]]
        return found


def _counters(ledger: Ledger) -> dict[str, int]:
    return {name: getattr(ledger, name) for name in ("lines", "counted", "rejected", "late_dropped", "duplicates")}


@asynccontextmanager
async def staged(settings: Settings, partitions: int) -> AsyncIterator[Stage]:
    """A stage whose topics are there."""
    async with AIOKafkaProducer(bootstrap_servers=settings.brokers) as producer:
        yield Stage(settings, producer, partitions)
