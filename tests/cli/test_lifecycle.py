"""Workers and `kpi up` end when they are told to, within seconds, and leave nothing behind."""

import asyncio
import contextlib
import os
import re
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kpi_app.local.kafka import EmbeddedKafka
from kpi_app.local.lock import locked
from kpi_app.local.ports import is_free
from kpi_app.sources.traffic import traffic
from tests.cli import truth
from tests.cli.programs import END_S, WORKER, Program, await_gone, descendants, kpi, run, running, until
from tests.recount import Recount, recount

BOTH = [signal.SIGINT, signal.SIGTERM]
READY = "Worker ready"


@contextlib.contextmanager
def worker(settings: dict[str, str], directory: Path, until_it_says: str = READY) -> Iterator[Program]:
    """A worker that has come so far."""
    with running(WORKER, directory, settings) as program:
        program.until(until_it_says)
        yield program


def log_of(lines: int, seed: int, path: Path) -> Recount:
    """Write a log; returns what should come of it."""
    written = [*traffic(lines, datetime(2023, 5, 23, tzinfo=UTC), 0.5, seed), "what?"]
    path.write_text("".join(f"{line}\n" for line in written))
    return recount(written)


async def counted(settings: dict[str, str], lines: int) -> None:
    """Return when so many lines are in the books and in rows."""
    async with asyncio.timeout(60):
        while await truth.books(settings["KPI_DATABASE_URL"], settings["KPI_TOPIC"]) != (lines, 0):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


# -- workers


async def test_a_worker_ends_in_order_and_the_next_one_goes_on(settings: dict[str, str], tmp_path: Path) -> None:
    """What came until Ctrl-C or SIGTERM is in Postgres when it has ended; its port and its tables are free."""
    lines = 0
    for number, seed in zip(BOTH, (1, 2), strict=True):
        log = tmp_path / f"{seed}.log"
        with worker(settings, tmp_path / "worker") as program:
            expected = log_of(1_000, seed, log)
            assert run(kpi("ship", log), tmp_path, settings).code == 0
            done = program.end(number)
        assert (done.code, done.took_s < END_S) == (0, True), done
        assert "Traceback" not in done.out + done.err
        assert is_free(int(settings["KPI_WEB_PORT"]))
        lines += expected.lines
        read, unmerged = await truth.books(settings["KPI_DATABASE_URL"], settings["KPI_TOPIC"])
        assert read <= lines
        assert unmerged == 0
    with worker(settings, tmp_path / "worker"):
        await counted(settings, lines)
    assert await truth.unaccounted(settings["KPI_DATABASE_URL"]) == 0


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("BentApp]: Starting", signal.SIGINT),
        ("Subscribed to", signal.SIGTERM),
        ("Executing _on_partitions_assigned", signal.SIGINT),
    ],
)
def test_a_signal_during_its_start_ends_a_worker(
    moment: str, number: signal.Signals, settings: dict[str, str], tmp_path: Path
) -> None:
    """There is nothing to save yet: it ends at once, without a word of complaint."""
    with worker(settings, tmp_path / "worker", moment) as program:
        done = program.end(number)
    assert done.took_s < END_S
    assert "Traceback" not in done.out + done.err


def test_a_signal_before_a_worker_hears_ends_it(settings: dict[str, str], tmp_path: Path) -> None:
    """While it still imports what it needs."""
    with running(WORKER, tmp_path, settings) as program:
        assert program.end(signal.SIGTERM).took_s < END_S


def test_a_worker_ends_though_the_broker_hangs(
    settings: dict[str, str], breakable_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """Within seconds after Ctrl-C, at once after a second one: what was not saved is read again."""
    settings["KPI_BROKERS"] = breakable_kafka.bootstrap
    for number, seed in enumerate((1, 2)):
        log_of(500, seed, tmp_path / f"{seed}.log")
        with worker(settings, tmp_path / "worker") as program:
            assert run(kpi("ship", f"{seed}.log"), tmp_path, settings).code == 0
            with frozen(breakable_kafka.pid):
                for _ in range(number):
                    program.tell(signal.SIGINT)
                    program.until("Signal received")
                done = program.end(signal.SIGINT)
        assert done.took_s < END_S
        assert "Traceback" not in done.err


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that neither answers nor ends."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_after_a_reset_all_is_counted_again(settings: dict[str, str], tmp_path: Path) -> None:
    """Not while a worker runs; then from the start of the raw topic, to the same rows. Nothing is shipped twice."""
    log, dsn = tmp_path / "access.log", settings["KPI_DATABASE_URL"]
    expected = log_of(3_000, 3, log)
    with worker(settings, tmp_path / "worker") as program:
        assert run(kpi("ship", log), tmp_path, settings).code == 0
        await counted(settings, expected.lines)
        assert await truth.rows(dsn) == truth.expected(expected)
        refused = run(kpi("reset", "--yes"), tmp_path, settings)
        assert refused.code == 1
        assert re.fullmatch(r"1 worker of kpi-\S+ running: stop them first .*\n", refused.err), refused.err
        assert await truth.rows(dsn) == truth.expected(expected)
        assert program.end(signal.SIGTERM).code == 0
    done = run(kpi("reset", "--yes"), tmp_path, settings)
    assert (done.code, done.out) == (0, "forgotten; the next worker counts the raw topic from its start\n")
    assert await truth.rows(dsn) == {}
    assert not list((tmp_path / "data").glob("worker-*"))
    with worker(settings, tmp_path / "worker"):
        assert run(kpi("ship", log), tmp_path, settings).out.startswith("nothing to send")
        await counted(settings, expected.lines)
    assert await truth.rows(dsn) == truth.expected(expected)
    assert await truth.unaccounted(dsn) == 0


# -- kpi up


def servers(program: Program) -> list[int]:
    """The processes of a `kpi up`, with itself."""
    return [program.pid, *descendants(program.pid)]


def gone(program: Program, pids: list[int], directory: Path) -> None:
    """No process, no port, no lock is left of a `kpi up`."""
    await_gone(pids)
    ports = re.findall(r"export .*127\.0\.0\.1:(\d+)", program.out)
    assert all(is_free(int(port)) for port in ports)
    with locked(directory / "data"):
        return


def test_up_serves_the_other_commands_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    """As in docs/getting-started.md: `. ./local.env` in another shell. Pressed twice, Ctrl-C leaves nothing either."""
    with running(kpi("up", "--env-file", "local.env"), tmp_path, {"KPI_DATA_DIR": "data"}) as program:
        program.until("Ctrl-C ends both")
        assert "In other terminals: . ./local.env\n" in program.err
        pids = servers(program)
        log_of(100, 1, tmp_path / "access.log")
        script = f'. ./local.env && "{kpi()[0]}" migrate && "{kpi()[0]}" ship access.log'
        used = run(("sh", "-c", script), tmp_path, {"KPI_DATA_DIR": "data"})
        assert (used.code, used.out.splitlines()[-1]) == (0, "101 lines sent to access-log"), used
        program.tell(signal.SIGINT)
        done = program.end(signal.SIGINT)
    assert (done.code, done.took_s < END_S) == (130, True), done
    assert "Traceback" not in done.err
    assert done.out == (tmp_path / "local.env").read_text()
    gone(program, pids, tmp_path)


def test_up_ends_with_sigterm_and_sigkill_at_any_moment(tmp_path: Path) -> None:
    """The same directory can be used again at once."""
    for moment, number in [
        ("Kafka    formatting", signal.SIGTERM),
        ("Postgres starting", signal.SIGTERM),
        ("Ctrl-C ends both", signal.SIGKILL),
    ]:
        with running(kpi("up"), tmp_path, {"KPI_DATA_DIR": "data"}) as program:
            program.until(moment)
            pids = servers(program)
            done = program.end(number)
        assert (done.code, done.took_s < END_S) in ((143, True), (-9, True)), done
        gone(program, pids, tmp_path)


def test_up_refuses_a_directory_that_is_in_use(tmp_path: Path) -> None:
    """In one line that says what to do."""
    with locked(tmp_path / "data"):
        done = run(kpi("up"), tmp_path, {"KPI_DATA_DIR": "data"})
    assert done.code == 1
    assert re.fullmatch(r"data is in use by another .*KPI_DATA_DIR.*\n", done.err)


def test_ship_follow_ends_with_what_it_sent(settings: dict[str, str], tmp_path: Path) -> None:
    """Ctrl-C tells how much that was; the next run goes on there."""
    log = tmp_path / "access.log"
    expected = log_of(200, 1, log)
    with running(kpi("ship", "--follow", log), tmp_path, settings) as program:
        until(lambda: '"offset"' in _positions(tmp_path))
        done = program.end(signal.SIGINT)
    assert (done.code, done.took_s < END_S) == (130, True)
    assert done.out == f"{expected.lines:,} lines sent to {settings['KPI_TOPIC']}\n"
    assert run(kpi("ship", log), tmp_path, settings).out.startswith("nothing to send")


def _positions(directory: Path) -> str:
    file = directory / "data" / "ship.json"
    return file.read_text() if file.exists() else ""


def test_a_command_that_waits_for_kafka_ends_with_ctrl_c(tmp_path: Path) -> None:
    """It need not wait until the broker is given up."""
    (tmp_path / "access.log").write_text("x\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = {"KPI_BROKERS": f"127.0.0.1:{server.getsockname()[1]}"}
        with running(kpi("ship", "access.log"), tmp_path, settings) as program:
            connection, _ = server.accept()
            with connection:
                done = program.end(signal.SIGINT)
    assert (done.code, done.out, done.err) == (130, "", "")
