"""`make dev`: the Procfile's processes on embedded servers or given ones, and nothing of them is left."""

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from dotenv import dotenv_values

from kpi_app.sources.traffic import traffic
from tests.cli import truth
from tests.cli.programs import PATIENCE_S, SCRIPTS, await_gone, descendants, run, running
from tests.conftest import connected

DEV = (sys.executable, "-m", "kpi_app.demo.dev")
REPOSITORY = Path(__file__).parents[2]


async def counted(dsn: str, topic: str, lines: int) -> None:
    """Return when at least so many lines of a topic are in the books."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(asyncpg.UndefinedTableError):  # before the migration
                async with connected(dsn) as connection:
                    found = await connection.fetchval("SELECT sum(lines) FROM ingest_ledger WHERE topic = $1", topic)
                if (found or 0) >= lines:
                    return
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_log_is_followed_until_the_end(
    number: signal.Signals, settings: dict[str, str], tmp_path: Path
) -> None:
    """On the Kafka and Postgres that the settings name; Ctrl-C or SIGTERM ends worker and shipper in order."""
    log = tmp_path / "a log.txt"
    lines = [*traffic(1_000, datetime(2023, 5, 23, tzinfo=UTC), 0.5, 1)]
    log.write_text("".join(f"{line}\n" for line in lines[:900]))
    topic, dsn = settings["KPI_TOPIC"], settings["KPI_DATABASE_URL"]
    with running(DEV, tmp_path, settings | {"KPI_LOG_FILE": str(log)}) as program:
        await counted(dsn, topic, 900)
        with log.open("a") as file:
            file.writelines(f"{line}\n" for line in lines[900:])
        await counted(dsn, topic, 1_000)
        started = descendants(program.pid)
        program.process.send_signal(number)
        done = program.wait()
    await_gone(started)
    assert done.code == 128 + number, done
    assert re.search("shipper.*stopped", done.out)
    assert re.search("worker.*stopped", done.out)
    assert "Traceback" not in done.out + done.err
    assert await truth.books(dsn, topic) == (1_000, 0)


async def test_on_nothing_at_all_it_makes_everything_up(tmp_path: Path) -> None:
    """Embedded Kafka and Postgres, live traffic: its lines are counted; Ctrl-C leaves data, and no process."""
    data = tmp_path / "data"
    with running(DEV, tmp_path, {"KPI_DATA_DIR": str(data)}) as program:
        program.until("Ctrl-C ends all of it")
        env = dotenv_values(data / "env")
        await counted(str(env["KPI_DATABASE_URL"]), "access-log", 1)
        started = descendants(program.pid)
        program.process.send_signal(signal.SIGINT)
        done = program.wait()
    await_gone(started)
    assert done.code == 128 + signal.SIGINT, done
    assert (data / "made-up.log").stat().st_size > 0
    assert (data / "kafka").is_dir()


def test_a_process_that_ends_ends_all(settings: dict[str, str], tmp_path: Path) -> None:
    """The shipper finds no log: its own line says so, and nothing goes on without it."""
    done = run(DEV, tmp_path, settings | {"KPI_LOG_FILE": str(tmp_path / "none.log")})
    assert done.code != 0
    assert "none.log: No such file or directory" in done.out
    assert re.search("worker.*stopped", done.out)


def test_a_wrong_setting_is_one_clear_line(tmp_path: Path) -> None:
    """Before anything is started."""
    done = run(DEV, tmp_path, {"KPI_GRACE": "soon"})
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("KPI_GRACE=")
    assert done.err.count("\n") == 1


def test_the_procfile_runs_without_make_dev(tmp_path: Path) -> None:
    """honcho takes it as it is; without a log it says what is missing."""
    honcho = str(SCRIPTS / "honcho")
    checked = subprocess.run([honcho, "check"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "(worker, shipper)" in checked.stderr + checked.stdout
    done = run((honcho, "--procfile", str(REPOSITORY / "Procfile"), "start", "shipper"), tmp_path)
    assert done.code != 0
    assert "KPI_LOG_FILE: is not set: the log to follow" in done.out


def test_make_dev_is_that_program() -> None:
    """And `make help` lists it."""
    told = subprocess.run(["make", "-n", "dev"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "-m kpi_app.demo.dev" in told.stdout
    assert "make dev" in subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
