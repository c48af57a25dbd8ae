"""`kpi demo`: servers, migration, topics, workers, a log through them, and the table at the end.

Each demo gets a directory of its own and leaves nothing behind: no process, no lock, no file.
"""

import asyncio
import contextlib
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from kpi_app.demo import ending, summary
from kpi_app.demo.progress import Bar, bars, shipping
from kpi_app.demo.reached import is_read
from kpi_app.demo.workers import Workers
from kpi_app.errors import SinkBusy, SinkRefused, UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.local.lock import lives, locked
from kpi_app.local.postgres import psql
from kpi_app.local.up import LocalServices, local_services, write_env_file
from kpi_app.preflight import check_data_dir
from kpi_app.settings import Settings, environment, fields, load, shown
from kpi_app.sinks.connect import Database
from kpi_app.sinks.migrate import migrate
from kpi_app.sinks.read import is_settled, ledger
from kpi_app.sources.connection import Topic, end_offsets
from kpi_app.sources.files import oldest_first
from kpi_app.sources.ship import ship
from kpi_app.sources.traffic import Live, traffic
from kpi_app.stream.kafka import connection
from kpi_app.stream.topics import ensure_topics

#: The demo's own traffic, where no log is given.
LINES = 200_000
DAYS = 3.0
SEED = 20_230_523

#: Live traffic after it, until Ctrl-C; lines a second.
LIVE_RATE = 50.0

#: A partition that saw nothing for this long closes its windows: a demo should not wait for half a minute.
IDLE_AFTER = 3

_LOOK_EVERY_S = 0.2
_WRITE_AT_ONCE = 5_000


@dataclass(frozen=True)
class Plan:
    """What was asked for."""

    settings: Settings
    logs: list[Path]
    once: bool
    workers: int
    partitions: int


def run(plan: Plan, out: Console, err: Console) -> None:
    """Run the demo. Raises `UserError`, and `SystemExit` when a signal ends it."""
    oldest_first(plan.logs)  # a wrong path shows before anything is started
    given = plan.settings.model_fields_set
    with (
        ending.ending_once(),
        _own_directory(plan.settings.data_dir) as directory,
        local_services(
            directory, kafka="brokers" not in given, postgres="database_url" not in given, console=err
        ) as services,
    ):
        settings = load(
            **{"idle_after": IDLE_AFTER}
            | plan.settings.model_dump(exclude_unset=True)
            | fields(services.env)
            | {"data_dir": directory}
            | _apart(plan.settings, err)
        )
        try:
            _run(plan, settings, services, out, err)
        except SystemExit:
            err.print("ending all of it")
            raise


def _apart(given: Settings, err: Console) -> dict[str, str]:
    """Keep made-up lines out of what is real: on a Kafka or Postgres of the user's, the topic is the demo's own.

    A database that holds rows of the real topic refuses it: a worker says so, and nothing is written there.
    """
    named = [name for name in ("brokers", "database_url") if name in given.model_fields_set]
    for name in named:
        err.print(f"using KPI_{name.upper()}={shown(given, name)}, not one of the demo's own", soft_wrap=True)
    return {"topic": f"{given.topic}-demo"} if named else {}


def _run(plan: Plan, settings: Settings, services: LocalServices, out: Console, err: Console) -> None:
    ending.run(_prepare(settings, plan.partitions))
    env = environment(settings)
    write_env_file(settings.data_dir / "env", env)
    with Workers(plan.workers, env, settings.data_dir, settings.web_port) as workers:
        try:
            ending.run(_Demo(plan, settings, services, workers, out, err).run())
        except (SinkBusy, SinkRefused) as error:
            raise UserError(str(error)) from error
        finally:
            if services.kafka is not None:  # its data is about to be removed: an end in order would serve nobody
                workers.kill()
                services.kafka.kill()


async def _prepare(settings: Settings, partitions: int) -> None:
    await migrate(settings.database_url.get_secret_value(), settings.timezone)
    await ensure_topics(settings, partitions)


class _Demo:
    """One run, with its services and workers up."""

    def __init__(
        self, plan: Plan, settings: Settings, services: LocalServices, workers: Workers, out: Console, err: Console
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._services = services
        self._workers = workers
        self._out = out
        self._err = err
        self._directory = settings.data_dir

    async def run(self) -> None:
        """Up to the table; then, unless it is to end there, live traffic until it is cancelled."""
        async with Database(self._settings.database_url.get_secret_value()) as database:
            with bars(self._err) as progress:
                logs = self._plan.logs or [self._write_log(progress)]
                await self._ship(logs, progress)
                await self._settle(database, progress)
            await self._print(database)
            if not self._plan.once:
                self._say_where()
                await self._stay(database, logs)

    def _write_log(self, progress: Progress) -> Path:
        """Write the demo's traffic to a file, as a web server would have; the workers start meanwhile."""
        bar = Bar(progress, "writing")
        path = self._directory / "access.log"
        start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
        with path.open("w") as file:
            for number, line in enumerate(traffic(LINES, start, DAYS, SEED)):
                file.write(f"{line}\n")
                if number % _WRITE_AT_ONCE == 0:
                    bar.show(number, LINES, f"{DAYS:g} days of traffic")
        bar.remove()
        return path

    async def _ship(self, logs: list[Path], progress: Progress | None = None) -> None:
        """Ship the logs: to their ends and with a bar, or else following them."""
        await ship(
            logs,
            connection=connection(self._settings),
            topic=self._settings.topic,
            data_dir=self._directory,
            follow=progress is None,
            report=shipping(progress) if progress else None,
        )

    async def _settle(self, database: Database, progress: Progress) -> None:
        """Return when every line of the topic is in the books and every window is closed."""
        bar = Bar(progress, "counting")
        asked_s, ends = time.monotonic(), await self._ends()
        while True:
            self._check()
            with contextlib.suppress(SinkBusy):
                books = {row["partition"]: row for row in await ledger(database, self._settings.topic)}
                read = sum(min(books[p]["next_offset"], end) for p, end in ends.items() if p in books)
                told_s = time.monotonic() - asked_s
                all_read = all(is_read(books.get(p), end, told_s) for p, end in ends.items())
                detail = f"{sum(row['lines'] for row in books.values()):,} lines"
                bar.show(read, sum(ends.values()), f"{detail}, closing windows" if all_read else detail)
                if all_read and await is_settled(database, ACCESS, self._settings.topic):
                    return
            await asyncio.sleep(_LOOK_EVERY_S)

    def _check(self) -> None:
        """Raises `UserError`, with the end of its log, when a server or a worker has ended by itself."""
        self._services.check()
        self._workers.check()

    async def _ends(self) -> dict[int, int]:
        topic = Topic("", self._settings.topic, tuple(range(await ensure_topics(self._settings))))
        return await end_offsets(connection(self._settings), topic)

    async def _print(self, database: Database) -> None:
        base_s = self._settings.base_window_s
        total = await summary.totals(database, self._settings.topic, base_s)
        if total["first_event"] is not None:
            span_s, rows = await summary.spans(database, base_s, total["first_event"], total["last_event"])
            self._out.print(summary.table(span_s, rows))
            self._out.print()
        for line in summary.balance(total, base_s):
            self._out.print(line)

    def _say_where(self) -> None:
        env = shlex.quote(os.path.relpath(self._directory / "env"))
        goes_on = "The log is followed." if self._plan.logs else "Live traffic goes on."
        for line in (
            "",
            *(f"web    http://{self._settings.web_host}:{port}/" for port in self._workers.ports),
            f"psql   . {env}",
            f"       {_psql()} \"$KPI_DATABASE_URL\" -c 'TABLE access_load'",
            "",
            f"{goes_on} Ctrl-C ends all of it.",
        ):
            self._out.print(line, soft_wrap=True)

    async def _stay(self, database: Database, logs: list[Path]) -> None:
        """Keep things going until Ctrl-C, with live traffic where the traffic is ours."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch(database))
                tasks.create_task(self._ship(logs))
                if not self._plan.logs:
                    tasks.create_task(write_live(logs[0]))
        except* (UserError, SinkRefused) as errors:
            raise errors.exceptions[0] from None

    async def _watch(self, database: Database) -> None:
        """Say, in a terminal, how many lines are counted, and look after the workers."""
        with self._err.status("") as status:
            before, before_s = 0, 0.0
            while True:
                self._check()
                with contextlib.suppress(SinkBusy):
                    lines = sum(row["lines"] for row in await ledger(database, self._settings.topic))
                    now_s = time.monotonic()
                    rate = (lines - before) / (now_s - before_s) if before_s else 0.0
                    status.update(f"{lines:,} lines counted, {rate:.0f} a second")
                    before, before_s = lines, now_s
                await asyncio.sleep(1)


def _psql() -> str:
    """How a shell here calls psql: the user's own, or else the one that came with our Postgres."""
    return "psql" if shutil.which("psql") else shlex.quote(os.path.relpath(psql()))


async def write_live(path: Path) -> None:
    """Write live traffic to a log, as a web server would, until it is cancelled."""
    live = Live(LIVE_RATE, datetime.now(UTC), SEED)
    with path.open("a", buffering=1) as file:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            file.writelines(f"{line}\n" for line in live.until(datetime.now(UTC)))


@contextlib.contextmanager
def _own_directory(data_dir: Path) -> Iterator[Path]:
    """A new directory under `data_dir`, removed at the end; those of killed demos are removed first."""
    was_there = data_dir.exists()
    check_data_dir(data_dir)
    for left in data_dir.glob("demo-*"):
        _remove_if_abandoned(left)
    try:
        directory = Path(tempfile.mkdtemp(prefix=f"demo-{os.getpid()}-", dir=data_dir)).absolute()
        directory.chmod(0o755)  # the embedded Postgres may have to run as another user
    except OSError as error:
        raise UserError(f"KPI_DATA_DIR={data_dir}: {error.strerror}") from error
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        if not was_there:
            with contextlib.suppress(OSError):  # something else is in it by now
                data_dir.rmdir()


def _remove_if_abandoned(directory: Path) -> None:
    owner = directory.name.split("-")[1]
    if owner.isdecimal() and not lives(int(owner)):
        with contextlib.suppress(UserError), locked(directory):  # waits for its servers, which are on their way out
            shutil.rmtree(directory, ignore_errors=True)
