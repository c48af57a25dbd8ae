"""A real nginx under load, a real logrotate, `kpi ship --follow`: each answer is in the topic, once."""

import asyncio
import contextlib
import gzip
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaConsumer

from tests.cli.programs import Program, kpi, run, running
from tests.conftest import Kafka, MakeTopic
from tests.fluent_bit.nginx import Load, Logrotate, Nginx, nginx

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="logrotate is a program of Linux")

ROTATIONS = 5
#: Answers between two rotations, so that each file has lines.
A_FILE = 300

_PAGE = re.compile(r'"GET /page/([0-9]+) HTTP/1\.1"')


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Nginx]:
    """An nginx that logs in our format."""
    with nginx(tmp_path / "nginx") as server:
        yield server


@pytest.fixture
async def settings(kafka: Kafka, topic: MakeTopic, tmp_path: Path) -> dict[str, str]:
    """A topic of the test's own."""
    name = await topic(2, name="rotation")
    return {"KPI_BROKERS": kafka.bootstrap, "KPI_TOPIC": name, "KPI_DATA_DIR": str(tmp_path / "data")}


class Arrived:
    """What is in the topic."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def until(self, lines: int) -> None:
        """Return when it holds so many lines."""
        async with asyncio.timeout(60):
            while sum((await self._ends()).values()) < lines:  # noqa: ASYNC110 - Kafka tells nobody
                await asyncio.sleep(0.02)

    async def pages(self) -> Counter[int]:
        """How often each page is there."""
        lines: list[str] = []
        ends = await self._ends()
        while len(lines) < sum(ends.values()):
            for records in (await self._consumer.getmany(timeout_ms=200)).values():
                lines += [orjson.loads(record.value)["log"] for record in records]
        return Counter(pages_in(lines))

    async def _ends(self) -> dict[object, int]:
        ends: dict[object, int] = await self._consumer.end_offsets(list(self._consumer.assignment()))
        return ends


@pytest.fixture
async def arrived(settings: dict[str, str]) -> AsyncIterator[Arrived]:
    """A look at the test's topic, from its beginning."""
    consumer = AIOKafkaConsumer(
        settings["KPI_TOPIC"], bootstrap_servers=settings["KPI_BROKERS"], auto_offset_reset="earliest"
    )
    await consumer.start()
    yield Arrived(consumer)
    await consumer.stop()


def pages_in(lines: Iterable[str]) -> Iterator[int]:
    return (int(page[1]) for line in lines if (page := _PAGE.search(line)))


def pages_on_disk(server: Nginx) -> set[int]:
    """Those in the log and in what was rotated away from it."""
    found: set[int] = set()
    for path in server.log.parent.iterdir():
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found.update(pages_in(data.decode().splitlines()))
    return found


@contextlib.contextmanager
def shipper(server: Nginx, settings: dict[str, str], directory: Path) -> Iterator[Program]:
    """`kpi ship --follow` of the server's log; at the end of the block it is told to end."""
    with running(kpi("ship", server.log, "--follow"), directory, settings) as program:
        yield program
        done = program.end(signal.SIGTERM)
        assert done.err == "", done.err


def nothing_is_left(server: Nginx, settings: dict[str, str], directory: Path) -> None:
    """All that is on the disk was sent: a run over all the files finds nothing."""
    left = run(kpi("ship", *server.log.parent.iterdir()), directory, settings)
    assert (left.code, left.out) == (0, "nothing to send: these files were sent before\n"), left


def doubled(found: Counter[int]) -> list[int]:
    return [page for page, times in found.items() if times > 1]


@pytest.mark.parametrize("compress_at_once", [False, True], ids=["delaycompress", "compress"])
async def test_rotation_loses_and_doubles_nothing(
    compress_at_once: bool, server: Nginx, settings: dict[str, str], arrived: Arrived, tmp_path: Path
) -> None:
    """Rename, create and compress while nginx answers.

    Compressed at once, a file lacks what nginx wrote to it until it had reopened its log; but it is still open here.
    """
    logrotate, load = Logrotate(server, compress_at_once), Load(server.port)
    with shipper(server, settings, tmp_path / "ship"):
        async with load.running():
            for _ in range(ROTATIONS):
                now = len(load.answered)
                await load.until_more(A_FILE)
                await arrived.until(now + A_FILE)  # it has got hold of the newest file
                await asyncio.to_thread(logrotate.rotate)
            await load.until_more(A_FILE)
        await arrived.until(len(load.answered))
    assert len(list(server.log.parent.glob("*.gz"))) == ROTATIONS - (not compress_at_once)
    nothing_is_left(server, settings, tmp_path / "ship")
    found = await arrived.pages()
    assert doubled(found) == []
    assert sorted(found) == sorted(load.answered)


async def test_rotations_faster_than_it_looks_lose_and_double_nothing(
    server: Nginx, settings: dict[str, str], arrived: Arrived, tmp_path: Path
) -> None:
    """Files that come and go between two looks, some of them compressed by then, are found and read."""
    logrotate, load = Logrotate(server), Load(server.port)
    with shipper(server, settings, tmp_path / "ship"):
        async with load.running():
            await arrived.until(1)
            for _ in range(2 * ROTATIONS):
                await load.until_more(A_FILE // 20)
                await asyncio.to_thread(logrotate.rotate)
        await arrived.until(len(load.answered))
    nothing_is_left(server, settings, tmp_path / "ship")
    found = await arrived.pages()
    assert doubled(found) == []
    assert sorted(found) == sorted(load.answered)


@pytest.mark.parametrize("compress_at_once", [False, True], ids=["delaycompress", "compress"])
async def test_rotations_that_a_frozen_shipper_slept_through_lose_and_double_nothing(
    compress_at_once: bool, server: Nginx, settings: dict[str, str], arrived: Arrived, tmp_path: Path
) -> None:
    """Frozen after it sent some of a file, it finds that file compressed, and others that came and went.

    access.log  [sent, not sent)  .3.gz
                                  [-----)  .2.gz
                                           [-----)  .1
                                                    [-----  the log by now
    """
    logrotate, load = Logrotate(server, compress_at_once), Load(server.port)
    with shipper(server, settings, tmp_path / "ship") as program:
        async with load.running():
            await arrived.until(1)
            program.tell(signal.SIGSTOP)
            for _ in range(3):
                await load.until_more(A_FILE)
                await asyncio.to_thread(logrotate.rotate)
            await load.until_more(A_FILE)
        program.tell(signal.SIGCONT)
        await arrived.until(len(pages_on_disk(server)))
    nothing_is_left(server, settings, tmp_path / "ship")
    found = await arrived.pages()
    assert doubled(found) == []
    # what is neither on the disk nor open anywhere is lost to everyone: the reason for delaycompress
    assert (pages_on_disk(server) if compress_at_once else set(load.answered)) <= found.keys() <= set(load.answered)


async def test_rotations_while_no_shipper_runs_lose_and_double_nothing(
    server: Nginx, settings: dict[str, str], arrived: Arrived, tmp_path: Path
) -> None:
    """Ended and started again later: it goes on in the file where it stopped, compressed by now, and reads the rest."""
    logrotate, load = Logrotate(server), Load(server.port)
    async with load.running():
        for _ in range(2):
            with shipper(server, settings, tmp_path / "ship"):
                now = len(load.answered)
                await load.until_more(A_FILE)
                await arrived.until(now + A_FILE)
            for _ in range(2):
                await load.until_more(A_FILE)
                await asyncio.to_thread(logrotate.rotate)
    with shipper(server, settings, tmp_path / "ship"):
        await arrived.until(len(load.answered))
    nothing_is_left(server, settings, tmp_path / "ship")
    found = await arrived.pages()
    assert doubled(found) == []
    assert sorted(found) == sorted(load.answered)
