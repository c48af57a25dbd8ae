"""`kpi demo`: servers, migration, topics, workers, a log through them, and the table at the end.

Each demo gets a directory of its own and leaves nothing behind: no process, no lock, no file.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from kpi_app.demo import summary
from kpi_app.demo.progress import bars, shipping
from kpi_app.demo.workers import Workers
from kpi_app.errors import SinkBusy, UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.local.lock import locked
from kpi_app.local.up import local_services, write_env_file
from kpi_app.settings import Settings, environment, load
from kpi_app.sinks.connect import Database
from kpi_app.sinks.migrate import migrate
from kpi_app.sinks.read import is_settled, ledger
from kpi_app.sources.connection import Topic, end_offsets
from kpi_app.sources.ship import Progress as Shipped
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


@dataclass(frozen=True)
class Plan:
    """What was asked for."""

    settings: Settings
    logs: list[Path]
    once: bool
    workers: int
    partitions: int


def run(plan: Plan, out: Console, err: Console) -> int:
    """Run the demo; returns the exit code. Raises `UserError`."""
    for log in plan.logs:  # before anything is started
        _check_readable(log)
    given = plan.settings.model_fields_set
    with _own_directory(plan.settings.data_dir) as directory:
        try:
            with local_services(
                directory, kafka="brokers" not in given, postgres="database_url" not in given, console=err
            ) as services:
                settings = load(
                    **{"idle_after": IDLE_AFTER}
                    | plan.settings.model_dump(exclude_unset=True)
                    | {name.removeprefix("KPI_").lower(): value for name, value in services.env.items()}
                    | {"data_dir": directory}
                )
                asyncio.run(_Demo(plan, settings, out, err).run())
        except KeyboardInterrupt:
            return 130
    return 0


class _Demo:
    """One run, with its services up."""

    def __init__(self, plan: Plan, settings: Settings, out: Console, err: Console) -> None:
        self._plan = plan
        self._settings = settings
        self._out = out
        self._err = err
        self._directory = settings.data_dir
        self._dsn = settings.database_url.get_secret_value()

    async def run(self) -> None:
        """Up to the table; then, unless it is to end there, live traffic until Ctrl-C."""
        settings = self._settings
        await migrate(self._dsn, settings.timezone)
        await ensure_topics(settings, self._plan.partitions)
        env = environment(settings)
        write_env_file(self._directory / "env", env)
        with Workers(self._plan.workers, env, self._directory, settings.web_port) as workers:
            async with Database(self._dsn) as database:
                logs = self._plan.logs or [self._write_log()]
                with bars(self._err) as progress:
                    await self._ship(logs, shipping(progress))
                    await self._settle(database, workers, progress)
                await self._print(database)
                if not self._plan.once:
                    self._say_where(workers)
                    await self._stay(workers, logs)

    def _write_log(self) -> Path:
        """Write the demo's traffic to a file, as a web server would have."""
        path = self._directory / "access.log"
        start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
        with path.open("w") as file:
            file.writelines(f"{line}\n" for line in traffic(LINES, start, DAYS, SEED))
        return path

    async def _ship(
        self, logs: list[Path], report: Callable[[Shipped], None] | None = None, follow: bool = False
    ) -> None:
        await ship(
            logs,
            connection=connection(self._settings),
            topic=self._settings.topic,
            data_dir=self._directory,
            follow=follow,
            report=report,
        )

    async def _settle(self, database: Database, workers: Workers, progress: Progress) -> None:
        """Return when every line of the topic is in the books and every window is closed."""
        task = progress.add_task("counting", total=None, detail="")
        ends = await self._ends()
        while True:
            workers.check()
            with contextlib.suppress(SinkBusy):
                books = {row["partition"]: row for row in await ledger(database, self._settings.topic)}
                read = sum(min(books[p]["next_offset"], end) for p, end in ends.items() if p in books)
                detail = f"{sum(row['lines'] for row in books.values()):,} lines"
                progress.update(task, total=sum(ends.values()), completed=read, detail=detail)
                if read >= sum(ends.values()) and await is_settled(database, ACCESS, self._settings.topic):
                    return
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _ends(self) -> dict[int, int]:
        topic = Topic("", self._settings.topic, tuple(range(await ensure_topics(self._settings))))
        return await end_offsets(connection(self._settings), topic)

    async def _print(self, database: Database) -> None:
        base_s = self._settings.base_window_s
        total = await summary.totals(database, self._settings.topic, base_s)
        if total["first_event"] is not None:
            span_s, rows = await summary.spans(database, base_s, total["first_event"], total["last_event"])
            self._out.print(summary.table(span_s, rows))
        self._out.print(
            f"\n{total['lines']:,} lines = {total['counted']:,} counted + {total['rejected']:,} rejected, "
            f"in {total['windows']:,} windows; unaccounted for: {total['unaccounted']:,}",
            highlight=False,
        )

    def _say_where(self, workers: Workers) -> None:
        env = self._directory / "env"
        for line in (
            "",
            *(f"web    http://{self._settings.web_host}:{port}/" for port in workers.ports),
            f"psql   source {env} && psql \"$KPI_DATABASE_URL\" -c 'TABLE access_load'",
            "Ctrl-C ends all of it.",
        ):
            self._out.print(line, markup=False, highlight=False, soft_wrap=True)

    async def _stay(self, workers: Workers, logs: list[Path]) -> None:
        """Keep things going until Ctrl-C, with live traffic where the traffic is ours."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(workers))
            tasks.create_task(self._ship(logs, follow=True))
            if not self._plan.logs:
                tasks.create_task(_write_live(logs[0]))

    async def _watch(self, workers: Workers) -> None:
        while True:
            workers.check()
            await asyncio.sleep(1)


async def _write_live(path: Path) -> None:
    live = Live(LIVE_RATE, datetime.now(UTC), SEED)
    with path.open("a", buffering=1) as file:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            file.writelines(f"{line}\n" for line in live.until(datetime.now(UTC)))


@contextlib.contextmanager
def _own_directory(data_dir: Path) -> Iterator[Path]:
    """A new directory under `data_dir`, removed at the end; those of killed demos are removed first."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        for left in data_dir.glob("demo-*"):
            _remove_if_dead(left)
        directory = Path(tempfile.mkdtemp(prefix="demo-", dir=data_dir)).absolute()
        directory.chmod(0o755)  # the embedded Postgres may have to run as another user
    except OSError as error:
        raise UserError(f"KPI_DATA_DIR={data_dir}: {error.strerror}") from error
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _remove_if_dead(directory: Path) -> None:
    with contextlib.suppress(UserError), locked(directory):
        shutil.rmtree(directory, ignore_errors=True)


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
