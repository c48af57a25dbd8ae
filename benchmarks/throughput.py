"""Lines a second, from one run on one machine: a stock faust agent, a plain script, GoAccess, and one worker of ours.

    make bench                                   # or: .venv/bin/python benchmarks/throughput.py --lines 2000000

They read the same lines, one after the other, `--rounds` times; quote the ratios, not the figures. The first two
read them from the broker and only count by status, in memory or in faust's table. GoAccess, where it is installed,
reads the file and writes all of its panels as JSON. The worker does all of it, from the raw line to the rows of all
dimensions in Postgres, and is timed from its take-over until the last line is in Postgres' books; "rows" is until all
is merged, too.
"""

import argparse
import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
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

HERE = Path(__file__).parent
PARTITIONS = 4
START = datetime(2026, 1, 5, tzinfo=UTC)


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="kpi-bench-") as kept:
        directory = Path(kept)
        directory.chmod(0o755)
        with local_services(directory) as services:
            rates = list(_rounds(options, directory, services.env))
    _report(rates, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", type=int, default=2_000_000, help="for the worker")
    parser.add_argument("--plain-lines", type=int, default=300_000, help="for the plain script")
    parser.add_argument("--stock-lines", type=int, default=15_000, help="for the stock faust agent")
    parser.add_argument("--days", type=float, default=1.0, help="that the lines spread over")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _rounds(options: argparse.Namespace, directory: Path, env: dict[str, str]) -> Iterator[dict[str, float]]:
    log = _write_log(directory, options.lines, options.days)
    for number in range(options.rounds):
        topic = f"bench-{number}"
        settings = Settings(topic=topic, brokers=env["KPI_BROKERS"], data_dir=directory / topic)
        asyncio.run(_fill(settings, log))
        run_env = os.environ | env | {"KPI_TOPIC": topic, "BENCH_TOPIC": topic, "BENCH_PARTITIONS": str(PARTITIONS)}
        run_env |= {"BENCH_DIRECTORY": str(directory / topic / "stock"), "KPI_DATA_DIR": str(directory / topic)}
        run_env |= {"KPI_WEB_PORT": str(free_port())}
        yield {
            "stock": _stock(run_env | {"BENCH_LINES": str(options.stock_lines)}),
            "plain": _plain(run_env | {"BENCH_LINES": str(options.plain_lines)}),
            **_goaccess(log, options.lines),
            **asyncio.run(_worker(settings, run_env, options.lines, number)),
        }


def _write_log(directory: Path, lines: int, days: float) -> Path:
    path = directory / "access.log"
    with path.open("w") as file:
        for minute in traffic_by_minute(lines, START, days, seed=1):
            file.write("\n".join(minute) + "\n")
    return path


async def _fill(settings: Settings, log: Path) -> None:
    await ensure_topics(settings, PARTITIONS)
    await ship([log], connection=connection(settings), topic=settings.topic, data_dir=settings.data_dir)


def _stock(env: dict[str, str]) -> float:
    command = [sys.executable, "-m", "faust", "-A", "stock_faust", "worker", "--without-web", "-l", "info"]
    with subprocess.Popen(
        command, cwd=HERE, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        rate = _rate(run)
        run.kill()
    return rate


def _plain(env: dict[str, str]) -> float:
    command = [sys.executable, str(HERE / "plain_consumer.py")]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        return _rate(run)


def _goaccess(log: Path, lines: int) -> dict[str, float]:
    program = shutil.which("goaccess")
    if program is None:
        return {}
    line = '%h - %^ [%d:%t %^] "%r" %s %b "%R" "%u" "%^"'
    form = ["--log-format", line, "--date-format", "%d/%b/%Y", "--time-format", "%H:%M:%S"]
    began = time.perf_counter()
    command = [program, str(log), *form, "--no-progress", "--no-global-config", "-o", str(log.with_suffix(".json"))]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return {"goaccess": lines / (time.perf_counter() - began)}


def _rate(run: "subprocess.Popen[str]") -> float:
    assert run.stdout is not None
    said = []
    for line in run.stdout:
        said.append(line)
        if found := re.search(r"RATE ([0-9]+)", line):
            return float(found[1])
    raise SystemExit("".join(said[-20:]))


async def _worker(settings: Settings, env: dict[str, str], lines: int, number: int) -> dict[str, float]:
    """Lines a second of one worker, its CPU seconds for a million lines, and its peak resident memory in MiB."""
    dsn = await _new_database(env["KPI_DATABASE_URL"], f"bench_{number}")
    await migrate(dsn)
    with (settings.data_dir / "worker.log").open("w+") as log:
        command = [sys.executable, "-m", "faust", "-A", "kpi_app", "worker", "-l", "info"]
        run = subprocess.Popen(command, env=env | {"KPI_DATABASE_URL": dsn}, stdout=log, stderr=log)
        started = await _log_says(run, log.name, "took over")
        async with Database(dsn) as database:
            while sum(row["lines"] for row in await ledger(database, settings.topic)) < lines:
                _check(run, log.name)
                await asyncio.sleep(0.02)
            elapsed_s = time.perf_counter() - started
            while await _unmerged(database):
                _check(run, log.name)
                await asyncio.sleep(0.05)
            rows_s = time.perf_counter() - started
        run.terminate()
        _, _, used = os.wait4(run.pid, 0)
        run.returncode = 0
    return {
        "worker": lines / elapsed_s,
        "rows": lines / rows_s,
        "cpu_s": (used.ru_utime + used.ru_stime) / lines * 1e6,
        "mib": used.ru_maxrss / 1024,
    }


async def _unmerged(database: Database) -> int:
    """Marks that are due: those of windows that are still open wait for their time."""
    async with database.session() as session:
        return int(await session.value("SELECT count(*) FROM dirty_window WHERE due_at <= now()"))


async def _new_database(dsn: str, name: str) -> str:
    async with Database(dsn) as database, database.session() as session:
        await session.execute(f"CREATE DATABASE {name}")
    return f"{dsn.rpartition('/')[0]}/{name}"


async def _log_says(run: "subprocess.Popen[bytes]", log: str, text: str) -> float:
    while text not in Path(log).read_text():
        _check(run, log)
        await asyncio.sleep(0.01)
    return time.perf_counter()


def _check(run: "subprocess.Popen[bytes]", log: str) -> None:
    if run.poll() is not None:
        raise SystemExit(Path(log).read_text()[-3_000:])


def _report(rounds: list[dict[str, float]], options: argparse.Namespace) -> None:
    table = Table("", "lines/s", "least", "most", "times the stock agent", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    names = {
        "stock": "stock faust agent",
        "plain": "plain script",
        "goaccess": "GoAccess",
        "worker": "kpi_app, one worker",
        "rows": "… until all rows are written",
    }
    for key, name in names.items():
        if key not in rounds[0]:
            continue
        rates = [r[key] for r in rounds]
        ratio = statistics.median(r[key] / r["stock"] for r in rounds)
        table.add_row(name, *(f"{x:,.0f}" for x in (statistics.median(rates), min(rates), max(rates))), f"{ratio:.1f}")
    console = Console()
    console.print(table)
    cpu_s, mib = (statistics.median(r[key] for r in rounds) for key in ("cpu_s", "mib"))
    console.print(
        f"\n{len(rounds)} rounds of {options.lines:,} lines, medians; the worker: {cpu_s:.1f} CPU seconds "
        f"a million lines (its start included), {mib:.0f} MiB resident at most",
        highlight=False,
    )


if __name__ == "__main__":
    main()
