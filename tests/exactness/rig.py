"""One topic, one database, workers, and the lines sent: what a test of exactness works with."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest

from kpi_app.core.ledger import META_KEY, Meta
from kpi_app.local.ports import free_port
from kpi_app.reset import forget
from kpi_app.settings import Settings, fields
from kpi_app.stream.topics import Names
from tests.conftest import connected
from tests.exactness.lines import GRACE_S, LARGER_S, WINDOW_S, Record, Source
from tests.exactness.listed import Key, found
from tests.exactness.orders import Order, Step
from tests.exactness.truth import Inexact, Sent, Truth, compare, dead_letter, truth
from tests.exactness.workers import Worker, until

_BOOKS = """
SELECT partition, next_offset, lines, counted, rejected, late_dropped, duplicates, lost_offsets, watermark
  FROM ingest_ledger WHERE topic = $1
"""
_ROWS = "SELECT * FROM access_kpi"
_LISTED = "SELECT * FROM access_kpi_by"
_MARKS = "SELECT count(*) FROM dirty_window"
_UNBALANCED = "SELECT * FROM conservation WHERE difference <> 0"
#: Of these there must be none in any committed state; rows follow when they are merged.
_UNBALANCED_BOOKS = f"{_UNBALANCED} AND partition IS NOT NULL"
#: Columns of a row that are no function of the lines: when and how often it was published.
_OF_THE_MOMENT = {"updated_at", "revision", "tops_at", "sketches"}
#: Pace of a flow: some thousand lines a second, so that a recount of minutes takes no minutes.
_FLOW_EVERY_S = 0.03


@dataclass
class Site:
    """What outlives a test: where things are, what was sent, who runs."""

    brokers: str
    dsn: str
    topic: str
    directory: Path
    source: Source
    sent: dict[int, list[Sent]] = field(default_factory=lambda: defaultdict(list))
    lost: Counter[int] = field(default_factory=Counter)
    workers: list[Worker] = field(default_factory=list)
    disks: int = 0

    def __post_init__(self) -> None:
        for partition in range(self.source.partitions):
            self.sent[partition] = []

    @property
    def names(self) -> Names:
        """The topics and ids that follow from the raw topic."""
        return Names(self.topic)

    def kill_all(self) -> None:
        """SIGKILL for every worker."""
        for worker in self.workers:
            worker.kill()
        self.workers.clear()


class Rig:
    """A site with clients that are open for the length of one test."""

    database: Any

    def __init__(self, site: Site, producer: AIOKafkaProducer, admin: AIOKafkaAdminClient) -> None:
        self.site = site
        self.producer = producer
        self.admin = admin
        self._may_end: dict[Worker, int] = {}

    async def connect(self) -> None:
        """Connect to Postgres, again after it was away."""
        self.database = await asyncpg.connect(self.site.dsn)

    # -- workers

    def start(
        self,
        *script: Step,
        disk: int | None = None,
        log_format: str = "auto",
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Worker:
        """Start a worker, on a new empty disk or on one that another has left."""
        if disk is None:
            self.site.disks += 1
            disk = self.site.disks
        directory = self.site.directory / f"disk-{disk}"
        directory.mkdir(exist_ok=True)
        port_file = directory / "port"  # a worker's place on disk goes by its port
        if not port_file.exists():
            port_file.write_text(str(free_port()))
        settings = {
            "KPI_BROKERS": self.site.brokers,
            "KPI_DATABASE_URL": self.site.dsn,
            "KPI_TOPIC": self.site.topic,
            "KPI_WINDOWS": f"{WINDOW_S}s,{LARGER_S}s",
            "KPI_GRACE": f"{GRACE_S}s",
            "KPI_IDLE_AFTER": "1d",  # only watermarks close windows here
            "KPI_LOG_FORMAT": log_format,
            "KPI_DATA_DIR": str(directory),
            "KPI_WEB_PORT": port_file.read_text(),
            **(environment or {}),
        }
        worker = Worker(Order(settings, disk, directory, script, **options))
        self.site.workers.append(worker)
        return worker

    async def ended(self, worker: Worker) -> int:
        """Wait for a worker's end, then have the group let go of it, as the broker would after its session."""
        code = await worker.ended()
        await self.forget(worker)
        return code

    async def kill(self, worker: Worker) -> None:
        """SIGKILL, and the group lets go of it."""
        worker.kill()
        await self.forget(worker)

    async def forget(self, worker: Worker) -> None:
        self.site.workers.remove(worker)
        if not self.site.workers:
            await self.expire_members()

    async def members(self) -> list[str]:
        """The ids of the group's members."""
        group = self.site.names.app
        (response,) = await self.admin.describe_consumer_groups([group], await self.admin.find_coordinator(group))
        return [member[0] for member in response.groups[0][5]]

    async def expire_members(self) -> None:
        """Have all members leave the group."""
        group = self.site.names.app
        coordinator = await self.admin.find_coordinator(group)
        for member in await self.members():
            await self.admin._send_request_to_node(coordinator, LeaveGroupRequest(group, member))

    async def set_group_offsets(self, offsets: Mapping[int, int]) -> None:
        """Set the group's committed offsets, as Kafka's own tools do; no worker may run."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.site.brokers, group_id=self.site.names.app)
        async with consumer:
            tps = {TopicPartition(self.site.topic, partition): offset for partition, offset in offsets.items()}
            consumer.assign(list(tps))
            await consumer.commit(tps)

    async def reset(self, worker: Worker) -> None:
        """`kpi reset`, on the disk of a worker that has ended; no other may run."""
        await forget(Settings(**fields(worker.order.settings)))

    def may_end(self, worker: Worker, code: int) -> None:
        """From now on the worker may end with this exit code, or go on."""
        self._may_end[worker] = code

    def check(self) -> None:
        """Raise when a worker has ended that should not have."""
        for worker in self.site.workers:
            if worker.exit_code is None or worker.exit_code != self._may_end.get(worker):
                worker.check()

    # -- lines

    async def send(self, records: Iterable[Record] | None = None) -> None:
        """Send lines, by default the next lot; returns when the broker has them all."""
        records = self.site.source.lot() if records is None else list(records)
        futures = [
            await self.producer.send(
                self.site.topic,
                record.value,
                key=b"" if record.value is None else None,
                partition=record.partition,
                timestamp_ms=record.timestamp_ms,
            )
            for record in records
        ]
        for record, done in zip(records, await asyncio.gather(*futures), strict=True):
            self.site.sent[record.partition].append(Sent(done.offset, record.value, record.timestamp_ms))

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Lines keep coming while the block runs, and ledger and segments agree in every state that is seen."""

        async def flow() -> None:
            async with connected(self.site.dsn) as connection:
                while not enough:
                    await self.send()
                    _balanced(await connection.fetch(_UNBALANCED_BOOKS))
                    await asyncio.sleep(_FLOW_EVERY_S)

        enough = False
        flowing = asyncio.create_task(flow())
        try:
            yield
        finally:
            enough = True
            await flowing

    # -- what came of them

    async def exact(self) -> None:
        """Wait until all that was sent is published; then every row, book and dead letter must be right."""
        expected = truth({p: sorted(records) for p, records in self.site.sent.items()}, self.site.lost)
        await until("everything published", lambda: self.settled(expected))
        compare(expected, await self.found())
        _balanced(await self.database.fetch(_UNBALANCED))

    async def flushed(self) -> None:
        """Wait until Postgres holds all that was sent, merged or not."""

        await until("everything flushed", self.is_flushed)

    async def is_flushed(self) -> bool:
        """Whether Postgres holds all that was sent."""
        self.check()
        books = await self.books()
        return all(p in books and books[p]["next_offset"] > r[-1].offset for p, r in self.site.sent.items() if r)

    async def checkpointed(self) -> None:
        """Wait until the changelog holds all that was sent, in Postgres or not."""

        async def probe() -> bool:
            self.check()
            books = {
                record.partition: Meta.decode(record.value).offset
                async for record in self.read(self.site.names.changelog)
                if record.key == META_KEY
            }
            return all(books.get(p) == records[-1].offset for p, records in self.site.sent.items() if records)

        await until("everything checkpointed", probe)

    async def settled(self, expected: Truth) -> bool:
        """Whether all lines are in the books and nothing is left to merge or to close."""
        self.check()
        async with self.database.transaction(isolation="repeatable_read", readonly=True):
            books = await self.books()
            if any(p not in books or books[p]["next_offset"] < e["next_offset"] for p, e in expected.books.items()):
                return False
            if await self.database.fetchval(_MARKS):
                return False
            rows = await self.rows()
        return all(rows[key]["closed"] for key, row in expected.rows.items() if row["closed"] and key in rows)

    async def books(self) -> dict[int, dict[str, Any]]:
        """The ledger's rows by partition."""
        rows = await self.database.fetch(_BOOKS, self.site.topic)
        return {row["partition"]: {k: v for k, v in row.items() if k != "partition"} for row in rows}

    async def rows(self) -> dict[Any, dict[str, Any]]:
        """What people read, by window size and start."""
        names = {"window_seconds", "window_start", *_OF_THE_MOMENT}
        return {
            (row["window_seconds"], row["window_start"]): {k: v for k, v in row.items() if k not in names}
            for row in await self.database.fetch(_ROWS)
        }

    async def listed(self) -> dict[Key, list[int]]:
        """The values of the dimensions that the recount knows."""
        return found(await self.database.fetch(_LISTED))

    async def found(self) -> Truth:
        """What is there, in the shape of the truth."""
        async with self.database.transaction(isolation="repeatable_read", readonly=True):
            return Truth(await self.rows(), await self.listed(), await self.books(), await self.dead_letters())

    async def dead_letters(self) -> Counter[tuple[int, int, str]]:
        """All committed dead letters, without the receipts of those that were replayed."""
        found = [record.value async for record in self.read(self.site.names.rejected)]
        return Counter([dead_letter(value) for value in found if "replayed" not in json.loads(value)])

    async def _ends(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        # Not the ends that a reader of committed records is told: a commit is acknowledged before its markers are
        # in every partition, and until then these ends lie before what was committed.
        if not tps:
            return {}
        async with AIOKafkaConsumer(bootstrap_servers=self.site.brokers) as consumer:
            consumer.assign(tps)
            ends: dict[TopicPartition, int] = await consumer.end_offsets(tps)
        return ends

    async def read(self, topic: str) -> AsyncIterator[Any]:
        """All committed records of a topic as it is now."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.site.brokers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=20,
        )
        async with consumer:
            await consumer._client.force_metadata_update()
            tps = [TopicPartition(topic, p) for p in await _partitions(consumer, topic)]
            consumer.assign(tps)
            ends = await self._ends(tps)
            behind = [tp for tp in tps if ends[tp] > 0]
            while behind:
                for records in (await consumer.getmany(*behind, timeout_ms=50)).values():
                    for record in records:
                        yield record
                behind = [tp for tp in behind if await consumer.position(tp) < ends[tp]]


def _balanced(differences: list[Any]) -> None:
    if differences:
        raise Inexact(f"conservation: {[dict(row) for row in differences]}")


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    consumer._client.add_topic(topic)
    await consumer._client.force_metadata_update()
    return sorted(consumer.partitions_for_topic(topic) or ())


@asynccontextmanager
async def opened(site: Site) -> AsyncIterator[Rig]:
    """Clients for a test."""
    admin = AIOKafkaAdminClient(bootstrap_servers=site.brokers)
    await admin.start()
    try:
        async with AIOKafkaProducer(bootstrap_servers=site.brokers) as producer:
            rig = Rig(site, producer, admin)
            await rig.connect()
            try:
                yield rig
            finally:
                await rig.database.close()
    finally:
        await admin.close()
