"""The worker: settings, feed, sink and stream, put together into the faust app of `faust -A kpi_app worker`."""

import asyncio
import gc
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from warnings import catch_warnings
from zoneinfo import ZoneInfo

from faust.exceptions import AlreadyConfiguredWarning
from faust.types import TP, StreamT

from kpi_app import web
from kpi_app.errors import SinkBusy, SinkRefused, StopWorker, UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.preflight import check_data_dir, check_port
from kpi_app.settings import Settings, load
from kpi_app.sinks.base import Sink
from kpi_app.sinks.claim import Pace
from kpi_app.sinks.postgres import PostgresSink
from kpi_app.stream import lastresort
from kpi_app.stream.bend import Batch, BatchSchema, BentApp, Look
from kpi_app.stream.bend.credentials import credentials
from kpi_app.stream.bend.member import take_place
from kpi_app.stream.bend.stop import log, stop_worker
from kpi_app.stream.folds import Folds
from kpi_app.stream.group import Group
from kpi_app.stream.loops import Loops, forever
from kpi_app.stream.metrics import Metrics
from kpi_app.stream.ownership import Ownership
from kpi_app.stream.security import security
from kpi_app.stream.signs import Signs
from kpi_app.stream.table import OPTIONS
from kpi_app.stream.topics import TABLE, Names
from kpi_app.stream.watchdog import Watchdog, keep_asking
from kpi_app.web.reader import PostgresReader

#: How long the last flush and merge may take when a worker is stopped.
LAST_FLUSH_S = 3.0

#: The most that is fetched of a partition at a time, compressed: some 15,000 lines. Fewer take longer a line, more take
#: memory.
FETCH_BYTES = 768 << 10

#: What `/table/` says of it.
TABLE_HELP = "what each source partition contributed to each base window, and its books"


class Worker:
    """One worker: an `Owner` for the bent faust, over the state (`Ownership`) and its loops."""

    def __init__(self, settings: Settings, sink: Sink) -> None:
        self.settings = settings
        self.sink = sink
        self._finished = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None
        self.metrics = Metrics()
        self.owned = Ownership(settings, ACCESS, lambda: self.table.data, lambda: self.app.consumer, self.metrics)
        self.folds = Folds(self._fold_batch)
        self.loops = Loops(
            self.owned, sink, self._look, self.folds.calm, settings.emit_every, settings.idle_after, self.metrics
        )
        self.metrics.read_from(self.owned, self.loops.idle)
        self.app = self._app()
        self.table = self.app.Table(TABLE, help=TABLE_HELP, key_type=bytes, value_type=bytes, options=dict(OPTIONS))
        source = self.app.topic(settings.topic, schema=BatchSchema())
        self.app.agent(source, name="fold")(self._fold)
        for step in (self.loops.checkpoint, self.loops.watch, self.loops.flush, self.loops.merge, self.loops.tidy):
            self.app.task(self._loop(step.__name__, step))
        dsn, zone = settings.database_url.get_secret_value(), ZoneInfo(settings.timezone)
        reader = PostgresReader(dsn, ACCESS, settings.topic, settings.base_window_s, zone)
        self.door = web.Door.of(settings)
        group = Group(self.app, TABLE, settings.topic, lambda: self.owned.partition_count, self._ends)
        shown = web.Shown(ACCESS, settings.topic, settings.windows, settings.timezone, settings.emit_every)
        web.register(self.app, self.owned, group, reader, self.metrics, shown, self.door)

    def _app(self) -> BentApp:
        settings = self.settings
        return BentApp(
            Names(settings.topic).app,
            owner=self,
            broker=[f"kafka://{broker}" for broker in settings.brokers.split(",")],
            broker_credentials=credentials(security(settings)),
            store="rocksdb://",
            datadir=self._data_dir(settings.web_port),
            web_host=told_host(settings.web_host),
            web_bind=settings.web_host,
            web_port=settings.web_port,
            **web.OPTIONS,
            consumer_max_fetch_size=FETCH_BYTES,
            consumer_metadata_max_age_ms=30_000,  # added partitions are noticed within this time
            stream_buffer_maxsize=1,  # batches, not lines
            broker_session_timeout=10.0,
            broker_heartbeat_interval=2.0,
            broker_commit_interval=2.0,
            broker_max_poll_interval=300.0,
        )

    def _data_dir(self, web_port: int) -> str:
        return str(self.settings.data_dir / f"worker-{web_port}")

    async def _fold(self, stream: StreamT) -> None:
        stream.enable_acks = False  # the checkpoint decides what is done, not the end of an iteration
        async with self.folds:
            async for event in stream.events():
                await self.folds.add(event.message.partition, event.message.value)

    async def _fold_batch(self, partition: int, batch: Batch) -> None:
        try:
            await self.owned.fold(partition, batch)
        except Exception as error:
            stop_worker(f"cannot fold partition {partition}", error)

    def _loop(self, name: str, step: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def loop() -> None:
            await forever(name, step, self.metrics, self._finished)

        return loop

    async def _look(self, numbers: set[int]) -> Look:
        look: Look = await self.app.consumer.look(self.settings.topic, numbers)
        return look

    def _watch_over(self) -> None:
        """Have a watchdog end this process when it makes no progress."""
        limit_s = self.settings.stall_after
        if limit_s is None:
            return
        loop, consumer = asyncio.get_running_loop(), self.app.consumer
        signs = Signs(self.owned, self.folds, lambda: consumer.answers, self.settings.brokers, self.settings.emit_every)

        def tell(stalled: str | None) -> None:
            self.owned.stalled = stalled

        loops = {"worker's": loop, "fetching": consumer.fetching_loop}
        lastresort.prepare()
        Watchdog(limit_s, loops, signs, tell, lambda: lastresort.put_off(limit_s)).start()
        self._asking = asyncio.create_task(keep_asking(lambda: self._look(set())))

    async def _ends(self, tps: set[TP]) -> Mapping[TP, int]:
        ends: Mapping[TP, int] = await self.app.consumer.ends(tps)
        return ends

    @property
    def source_topic(self) -> str:
        """The topic that is fetched in batches and positioned from the state."""
        return self.settings.topic

    async def prepare(self) -> None:
        """Check what the user can mend, and make the topics. Raises `UserError`."""
        check_data_dir(self.settings.data_dir)
        conf = self.app.conf  # where faust's --web-port and --web-bind have arrived
        check_port(conf.web_bind, conf.web_port)
        if not (self.door.locked or web.is_loopback(conf.web_bind)):
            log.warning("whoever reaches %s:%d reads the KPIs: set KPI_WEB_PASSWORD", conf.web_bind, conf.web_port)
        self._move_data_dir(conf.web_port)
        self._take_place()
        await self._check_sink()
        await self.owned.warm_up()
        await self.owned.count_partitions()
        _spare_the_collector()
        self._watch_over()

    def _move_data_dir(self, web_port: int) -> None:
        """Go by the port of the command line, where there is one; nothing is open in the directory yet."""
        conf, data_dir = self.app.conf, Path(self._data_dir(web_port))
        if conf.datadir != data_dir:
            self._configure("datadir", data_dir)

    def _take_place(self) -> None:
        """The place in the group is that of the data directory, which this process holds from here on."""
        conf = self.app.conf
        self._configure("consumer_group_instance_id", take_place(Path(conf.datadir), str(conf.canonical_url)))

    def _configure(self, name: str, value: object) -> None:
        """Set one of faust's settings that is known only now, before it is read."""
        with catch_warnings(action="ignore", category=AlreadyConfiguredWarning):
            setattr(self.app.conf, name, value)

    async def _check_sink(self) -> None:
        try:
            await self.sink.open()
            if not self.settings.reading.visitor_key:
                self.owned.tell_visitors_by(await self.sink.visitor_key())
        except (SinkBusy, SinkRefused) as error:
            raise UserError(str(error)) from error

    async def take_over(self, partitions: set[int]) -> Mapping[int, int] | None:
        """Load the state of these partitions; returns the offset at which each goes on, None if it lost them."""
        return await self.owned.take_over(partitions)

    async def give_up(self, partitions: set[int]) -> None:
        """Checkpoint and let go of these partitions."""
        await self.owned.give_up(partitions)

    def committed(self) -> Mapping[int, int]:
        """The next offset by partition as of the last checkpoint."""
        return self.owned.committed()

    async def finish(self) -> None:
        """Checkpoint, flush and merge what there is, and give up everything."""
        await self.owned.checkpoint_last(self.owned.partitions.values())
        try:
            async with asyncio.timeout(LAST_FLUSH_S):
                await self.loops.flush_all()
                await self.loops.merge_all()
        except (TimeoutError, SinkBusy, SinkRefused, StopWorker) as error:
            log.warning("the last flush is left to the next owner: %s", str(error) or type(error).__name__)
        self._finished.set()
        if self._asking is not None:
            self._asking.cancel()
        await self.owned.give_up(set(self.owned.partitions))
        await self.sink.close()


def _spare_the_collector() -> None:
    """Let Python's cycle collector run less often: records come in tens of thousands and form no cycles.

    With the defaults it took almost half of the fetching thread's time.
    """
    gc.collect()
    gc.freeze()  # what the imports made stays
    gc.set_threshold(200_000, 20, 20)


def told_host(web_host: str) -> str:
    """What other workers are told to find this one by, as part of a URL."""
    if web_host in ("0.0.0.0", "::"):  # noqa: S104  every address is none to find
        host, full = socket.gethostname(), socket.getfqdn()
        # On Kubernetes only the full name leads to a pod. Where it is none of this host's, as localhost, no name is.
        return full if full.startswith(f"{host}.") else host
    return f"[{web_host}]" if ":" in web_host else web_host


def make_app() -> BentApp:
    """The app of `faust -A kpi_app`, from the settings in force; a wrong setting ends the process in one line."""
    try:
        settings = load()
        return Worker(settings, postgres_sink(settings)).app
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None


def postgres_sink(settings: Settings) -> PostgresSink:
    """The sink of the access feed, as the settings want it."""
    return PostgresSink(
        settings.database_url.get_secret_value(),
        ACCESS,
        topic=settings.topic,
        window_s=settings.base_window_s,
        grace_s=settings.grace,
        larger_s=settings.windows[1:],
        top=settings.top,
        keep_s=settings.keep,
        pace=Pace(tops_every_s=10 * settings.emit_every),
    )
