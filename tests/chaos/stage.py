"""Broker, Postgres, topic, fleet and lines, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from kpi_app.local.kafka import EmbeddedKafka
from kpi_app.local.postgres import EmbeddedPostgres
from kpi_app.sinks.migrate import migrate
from kpi_app.stream.topics import Names
from tests.chaos.fleet import Fleet
from tests.chaos.producer import Lines, Producer
from tests.chaos.watch import Watch
from tests.conftest import create_topic
from tests.exactness.lines import GRACE_S, LARGER_S, WINDOW_S

TOPIC = "access-log"
#: Of the windows; the smallest and the next are those of the exactness tests.
SIZES_S = (WINDOW_S, LARGER_S, 3_600)
#: Values that are listed by window and dimension.
TOP = 100


@dataclass(frozen=True)
class Options:
    """What a run is like."""

    seed: int = 1
    minutes: float = 3.0
    workers: int = 3
    #: Lines a second.
    rate: float = 5_000.0
    partitions: int = 8
    #: Seconds of event time in a second.
    speed: float = 5.0
    #: These faults in this order, not those of the seed.
    only: tuple[str, ...] = ()


@dataclass
class Stage:
    """What faults happen to."""

    directory: Path
    kafka: EmbeddedKafka
    postgres: EmbeddedPostgres
    settings: dict[str, str]
    fleet: Fleet
    producer: Producer
    watch: Watch
    #: Two faults at once may want the same server: one after the other.
    broker: asyncio.Lock = field(default_factory=asyncio.Lock)
    database: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def names(self) -> Names:
        """The topics and ids that follow from the raw topic."""
        return Names(TOPIC)


@asynccontextmanager
async def opened(options: Options, directory: Path) -> AsyncIterator[Stage]:
    """A stage with all workers at work and lines flowing, until the block ends."""
    kafka, postgres = EmbeddedKafka(directory / "kafka"), EmbeddedPostgres(directory / "postgres", durable=False)
    try:
        await asyncio.gather(asyncio.to_thread(kafka.start), asyncio.to_thread(postgres.start))
        await migrate(postgres.dsn)
        await make_topic(kafka.bootstrap, options.partitions)
        settings = {
            "KPI_BROKERS": kafka.bootstrap,
            "KPI_DATABASE_URL": postgres.dsn,
            "KPI_TOPIC": TOPIC,
            "KPI_WINDOWS": ",".join(f"{size_s}s" for size_s in SIZES_S),
            "KPI_GRACE": f"{GRACE_S}s",
            "KPI_IDLE_AFTER": "5s",  # so that at last all windows close
            "KPI_TOP": str(TOP),
        }
        source = Lines(options.partitions, options.seed)
        producer = Producer(kafka.bootstrap, TOPIC, source, options.rate, options.speed)
        async with Fleet(settings, directory) as fleet:
            for _ in range(options.workers):
                fleet.add()
            producer.start()
            async with Watch(postgres.dsn, lambda: producer.ends, lambda: fleet.whole) as watch:
                await watch.got_over()
                yield Stage(directory, kafka, postgres, settings, fleet, producer, watch)
    finally:
        await asyncio.gather(asyncio.to_thread(kafka.kill), asyncio.to_thread(postgres.kill))


async def make_topic(brokers: str, partitions: int) -> None:
    """Make the topic of the lines."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await create_topic(admin, TOPIC, partitions)
    finally:
        await admin.close()
