"""How long partitions stand still when workers come, go and die, with a large state: from one run on one machine.

    .venv/bin/python benchmarks/rebalance.py                    # 10,000 windows of a minute, of 4 partitions

A worker counts a log whose windows all stay open, so that its state holds every one of them. Then it is killed and
started again, on its disk and on an empty one, and a second worker comes, goes and dies. Seconds; "stood still" is from
the signal, or the start, until the partitions are taken over; "others" is what a worker's own partitions paused when
another one came or went.
"""

import argparse
import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kpi_app.local.ports import free_port
from kpi_app.local.up import local_services
from kpi_app.settings import Settings
from kpi_app.sinks.connect import Database
from kpi_app.sinks.migrate import migrate
from kpi_app.sinks.read import ledger
from kpi_app.sources.ship import ship
from kpi_app.sources.traffic import traffic_by_minute
from kpi_app.stream.kafka import connection
from kpi_app.stream.topics import ensure_topics

START = datetime(2026, 1, 5, tzinfo=UTC)
TOOK_OVER, PAUSED = re.compile(r"took over (\d+) partitions"), re.compile(r"the rebalance took ([0-9.]+) s")


class Worker:
    """A worker with a disk of its own, started and ended as often as one likes."""

    def __init__(self, directory: Path, env: dict[str, str]) -> None:
        directory.mkdir()
        self.log = directory / "log"
        self.log.touch()
        self._data = directory / "data"
        self._env = env | {"KPI_DATA_DIR": str(self._data), "KPI_WEB_PORT": str(free_port())}
        self._run: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "faust", "-A", "kpi_app", "worker", "-l", "info"]
            self._run = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self._run is not None
        self._run.send_signal(number)
        self._run.wait()

    def empty_disk(self) -> None:
        shutil.rmtree(self._data)

    def said(self, what: re.Pattern[str]) -> list[str]:
        """What the pattern's group was, each time that it was said."""
        return what.findall(self.log.read_text())

    def until(self, what: re.Pattern[str], times: int) -> str:
        """Wait until it was said so many times; the last time's group."""
        while len(said := self.said(what)) < times:
            if self._run is None or self._run.poll() is not None:
                raise SystemExit(self.log.read_text()[-3_000:])
            time.sleep(0.01)
        return said[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--windows", type=int, default=10_000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kpi-bench-") as kept:
        directory = Path(kept)
        directory.chmod(0o755)
        with local_services(directory) as services:
            env = services.env | {"KPI_TOPIC": "bench", "KPI_GRACE": f"{2 * options.windows}m"}
            asyncio.run(_fill(options, directory, services.env))
            workers = [Worker(directory / name, os.environ | env) for name in ("first", "second")]
            workers[0].start()
            asyncio.run(_count(env["KPI_DATABASE_URL"], options.lines))
            rows = _measure(*workers, options.partitions)
            for worker in workers:
                worker.end()
    _report(rows, options)


async def _fill(options: argparse.Namespace, directory: Path, env: dict[str, str]) -> None:
    log = directory / "access.log"
    with log.open("w") as file:
        for minute in traffic_by_minute(options.lines, START, options.windows / 1_440, seed=1):
            file.write("\n".join(minute) + "\n")
    settings = Settings(topic="bench", brokers=env["KPI_BROKERS"], data_dir=directory / "ship")
    await migrate(env["KPI_DATABASE_URL"])
    await ensure_topics(settings, options.partitions)
    await ship([log], connection=connection(settings), topic=settings.topic, data_dir=settings.data_dir)


async def _count(dsn: str, lines: int) -> None:
    async with Database(dsn) as database:
        while sum(row["lines"] for row in await ledger(database, "bench")) < lines:
            await asyncio.sleep(0.1)


def _measure(first: Worker, second: Worker, partitions: int) -> list[tuple[str, float, float | None]]:
    """What happened, how long partitions stood still, and how long those of the other worker did."""
    rows: list[tuple[str, float, float | None]] = []

    def since(began_s: float) -> float:
        return time.monotonic() - began_s

    for disk in ("its disk", "an empty disk"):
        began_s, times = time.monotonic(), len(first.said(TOOK_OVER))
        first.end()
        if disk == "an empty disk":
            first.empty_disk()
        first.start()
        first.until(TOOK_OVER, times + 1)
        rows.append((f"the only one killed, back on {disk}", since(began_s), None))
    for what, number in (("stopped", signal.SIGTERM), ("killed, gone for good", signal.SIGKILL)):
        began_s, pauses, times = time.monotonic(), len(first.said(PAUSED)), len(second.said(TOOK_OVER))
        second.start()
        second.until(TOOK_OVER, times + 1)
        stood_s = since(began_s)
        rows.append(("a second one started", stood_s, float(first.until(PAUSED, pauses + 1))))
        began_s, pauses = time.monotonic(), len(first.said(PAUSED))
        second.end(number)
        paused_s = float(first.until(PAUSED, pauses + 1))
        assert first.said(TOOK_OVER)[-1] == str(partitions)
        rows.append((f"the second one {what}", since(began_s), paused_s))
    second.start()
    pauses, times = len(first.said(PAUSED)), len(second.said(TOOK_OVER))
    second.until(TOOK_OVER, times + 1)
    first.until(PAUSED, pauses + 1)
    for disk in ("its disk", "an empty disk"):
        began_s, pauses, times = time.monotonic(), len(first.said(PAUSED)), len(second.said(TOOK_OVER))
        second.end()
        if disk == "an empty disk":
            second.empty_disk()
        second.start()
        second.until(TOOK_OVER, times + 1)
        stood_s = since(began_s)
        if disk == "an empty disk":  # a place of its own in the group: the old one is another's, and runs out
            first.until(PAUSED, pauses + 1)
        paused = first.said(PAUSED)[pauses:]
        rows.append((f"the second one killed, back on {disk}", stood_s, sum(map(float, paused))))
    return rows


def _report(rows: list[tuple[str, float, float | None]], options: argparse.Namespace) -> None:
    table = Table("", "stood still", "others", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for what, stood_s, paused_s in rows:
        table.add_row(what, f"{stood_s:.1f} s", "" if paused_s is None else f"{paused_s:.1f} s")
    console = Console()
    console.print(f"{options.windows:,} windows of state in each of {options.partitions} partitions")
    console.print(table)


if __name__ == "__main__":
    main()
