"""`kpi demo`: its numbers are those of a recount, what it prints works, and it leaves nothing behind."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from dotenv import dotenv_values

from kpi_app.demo.workers import Workers
from kpi_app.errors import UserError
from kpi_app.local.kept import Order
from kpi_app.local.ports import free_port, is_free
from kpi_app.sources.traffic import traffic
from tests.cli import truth
from tests.cli.programs import END_S, Program, await_gone, descendants, kpi, run, running, until
from tests.conftest import create_topic
from tests.recount import Recount, recount

LIVE = "Ctrl-C ends all of it"


def log_of(path: Path, lines: int, seed: int) -> Recount:
    """Write a log of four days; returns what should come of it."""
    written = [*traffic(lines, datetime(2023, 5, 23, tzinfo=UTC), 4.0, seed), "what?"]
    path.write_text("".join(f"{line}\n" for line in written))
    return recount(written)


@contextlib.contextmanager
def demo(directory: Path, *arguments: str | Path, **options: object) -> Iterator[Program]:
    """A demo with one partition, so that the same lines are late as in a recount."""
    settings = {"KPI_DATA_DIR": str(directory / "data"), **options.pop("settings", {})}  # type: ignore[dict-item]
    with running(kpi("demo", "--partitions", "1", *arguments), directory, settings, **options) as program:
        yield program


def left_in(directory: Path) -> list[str]:
    return os.listdir(directory / "data") if (directory / "data").exists() else []


def printed(expected: Recount, out: str) -> None:
    """The table and what is below it are those of the recount."""
    rejected = sum(expected.rejected.values())
    assert f"\n{expected.lines:,} lines = {expected.counted:,} counted + {rejected:,} rejected\n" in out
    assert f"\n{len(expected.windows):,} windows of 1m in Postgres; unaccounted for: 0\n" in out
    rows = list(truth.spans(out))
    spans: Counter[datetime] = Counter()
    times = [datetime.strptime(f"{row[0]} {row[1]}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC) for row in rows]
    hours = int(re.search(r"UTC, by (\d+)h", out)[1])  # type: ignore[index]
    for start, window in expected.windows.items():
        spans[next(t for t in times if t <= datetime.fromtimestamp(start, UTC) < t + timedelta(hours=hours))] += (
            window.requests
        )
    assert [int(row[2].replace(",", "")) for row in rows] == [spans[time] for time in times]
    assert sum(int(row[10].replace(",", "")) for row in rows) == sum(w.late for w in expected.windows.values())


async def test_two_demos_at_once_are_right_and_leave_nothing(tmp_path: Path) -> None:
    """Started together in one directory: one ends by itself with 0, the other goes on, works, and ends with Ctrl-C."""
    once = log_of(tmp_path / "once.log", 4_000, 1)
    live = log_of(tmp_path / "live.log", 3_000, 2)
    with (
        demo(tmp_path, "--once", "--log", tmp_path / "once.log") as first,
        demo(tmp_path, "--log", tmp_path / "live.log", "--workers", "2") as second,
    ):
        second.until(LIVE)
        ended = first.wait()
        assert ended.code == 0, ended
        printed(once, ended.out)
        printed(live, second.out)
        for text in (ended.out, second.out.partition("\nweb ")[0]):
            assert all(len(line) <= 80 for line in text.splitlines()), text
        await works(second, live, tmp_path)
        pids = [second.pid, *descendants(second.pid)]
        assert len(pids) > 8
        second.tell(signal.SIGINT)
        done = second.end(signal.SIGINT)
    assert (done.code, done.took_s < END_S) == (130, True), done
    assert "Traceback" not in ended.err + done.err
    await_gone(pids)
    assert left_in(tmp_path) == []


async def works(program: Program, expected: Recount, directory: Path) -> None:
    """What a live demo says of where to look is true; lines that are appended are counted, too."""
    addresses = re.findall(r"http://127.0.0.1:\d+/", program.out)
    assert len(set(addresses)) == 2
    for address in addresses:
        until(lambda: _answers(f"{address}readyz"))  # noqa: B023  awaited here
        assert _answers(address)
    lines = re.search(r"psql +(\. .*)\n +(.*psql.*)\n", program.out)
    assert lines
    shell = run(("sh", "-c", f"{lines[1]}\n{lines[2]}"), directory)
    assert "hour_start" in shell.out, shell
    dsn = dotenv_values(directory / lines[1].removeprefix(". "))["KPI_DATABASE_URL"]
    assert dsn
    assert await truth.rows(dsn) == truth.expected(expected)
    assert await truth.unaccounted(dsn) == 0


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as answer:  # noqa: S310  our own
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_demo_that_starts_ends_when_told_to(tmp_path: Path) -> None:
    """With no process and no file left."""
    with demo(tmp_path) as program:
        program.until("formatting its storage")
        pids = [program.pid, *descendants(program.pid)]
        done = program.end(signal.SIGTERM)
    assert (done.code, done.took_s < END_S) == (143, True), done
    assert "Traceback" not in done.err
    await_gone(pids)
    assert not (tmp_path / "data").exists()


def test_a_demo_in_a_terminal_shows_where_it_is_and_ends_there(settings: dict[str, str], tmp_path: Path) -> None:
    """On a Kafka and a Postgres of the user's own these stay, and the demo's worker ends in order."""
    with demo(tmp_path, settings=settings, terminal=True) as program:
        program.until("shipping")
        pids = [program.pid, *descendants(program.pid)]
        done = program.end(signal.SIGINT)
    assert (done.code, done.took_s < END_S) == (130, True), done
    assert "Traceback" not in done.out
    assert "ending all of it" in done.out
    await_gone(pids)
    assert left_in(tmp_path) == []


def test_a_killed_demo_leaves_no_process_and_the_next_one_cleans_up(settings: dict[str, str], tmp_path: Path) -> None:
    """`kill -9` while it is live: its worker ends by itself, as the servers do (see `kpi up`)."""
    log_of(tmp_path / "a.log", 100, 1)
    with demo(tmp_path, "--log", "a.log", settings=settings) as program:
        program.until(LIVE)
        pids = descendants(program.pid)
        port = int(re.findall(r"http://127.0.0.1:(\d+)/", program.out)[0])
        program.process.kill()
        program.wait()
    await_gone(pids)
    assert is_free(port)
    [left] = left_in(tmp_path)
    with demo(tmp_path) as program:
        program.until("formatting its storage")
        assert left not in left_in(tmp_path)
        program.end(signal.SIGTERM)
    assert left_in(tmp_path) == []


async def test_a_demo_ends_on_a_topic_with_transactions(settings: dict[str, str], tmp_path: Path) -> None:
    """A marker at a partition's end is in no books: what a partition has read, it says by being idle."""
    expected = log_of(tmp_path / "a.log", 100, 1)
    brokers, topic = settings["KPI_BROKERS"], f"{settings['KPI_TOPIC']}-demo"
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await create_topic(admin, topic, 2)
        async with (
            AIOKafkaProducer(bootstrap_servers=brokers, transactional_id=topic) as producer,
            producer.transaction(),
        ):
            for partition in range(2):  # one of them gets the log
                await producer.send_and_wait(topic, b"what?", partition=partition)
        with demo(tmp_path, "--once", "--log", "a.log", settings=settings) as program:
            done = await asyncio.to_thread(program.wait)
    finally:
        await admin.close()
    assert done.code == 0, done.err
    lines, rejected = expected.lines + 2, sum(expected.rejected.values()) + 2
    assert f"\n{lines:,} lines = {expected.counted:,} counted + {rejected:,} rejected\n" in done.out


def test_a_demo_whose_worker_fails_says_why(settings: dict[str, str], tmp_path: Path) -> None:
    """With the end of the worker's log, and then it is over."""
    with demo(tmp_path, settings={**settings, "KPI_WEB_HOST": "192.0.2.1"}) as program:
        done = program.wait()
    assert done.code == 1
    assert "a worker ended with exit code 1; the end of its log:" in done.err
    assert "cannot listen on 192.0.2.1" in done.err
    assert "Traceback" not in done.err
    assert left_in(tmp_path) == []


def test_a_demo_whose_postgres_ends_says_so(settings: dict[str, str], tmp_path: Path) -> None:
    """It does not wait for ever for one that nobody starts again."""
    log_of(tmp_path / "a.log", 100, 1)
    kafka = {name: value for name, value in settings.items() if name != "KPI_DATABASE_URL"}
    with demo(tmp_path, "--log", "a.log", settings=kafka) as program:
        program.until(LIVE)
        for pid in descendants(program.pid):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "postgres":
                os.kill(pid, signal.SIGKILL)
                break  # the first one is the parent of the others, which end with it
        done = program.wait()
    assert done.code == 1
    assert "Postgres ended with exit code" in done.err
    assert "Traceback" not in done.err
    assert left_in(tmp_path) == []


def test_a_worker_that_loses_its_port_moves_to_another(tmp_path: Path) -> None:
    """Two demos that start together find the same port free; one that fails for another reason does not move."""
    first = free_port()
    with _Failing(1, {}, tmp_path, first) as workers:
        until(lambda: workers.failed)
        with socket.create_server(("127.0.0.1", first)):
            workers.check()
            assert workers.ports[0] > first
        until(lambda: workers.failed)
        with pytest.raises(UserError, match=r"ended with exit code 3; the end of its log:\nwhy not$"):
            workers.check()


class _Failing(Workers):
    """Workers that end as soon as they have begun."""

    def _order(self, port: int) -> Order:
        return replace(super()._order(port), argv=("sh", "-c", "echo why not; exit 3"))

    @property
    def failed(self) -> bool:
        return all(worker.exit_code is not None for worker in self._kept)


def test_the_psql_line_works_without_a_psql_of_ones_own() -> None:
    """The one that came with the embedded Postgres is named then."""
    from kpi_app.local.postgres import psql

    assert shutil.which(str(psql()))
