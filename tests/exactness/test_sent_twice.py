"""`kpi ship` is killed and sends lines again: each counts once, and the view of files knows that none is missing."""

import asyncio
import gzip
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from kpi_app.sources.traffic import traffic
from tests.cli.programs import KPI
from tests.exactness.lines import GRACE_S, WINDOW_S
from tests.exactness.rig import Rig
from tests.exactness.workers import until
from tests.recount import recount

LINES = 20_000
START = datetime(2026, 3, 1, tzinfo=UTC)


def written(path: Path, lines: int, seed: int) -> list[str]:
    """A log, and its lines."""
    texts = list(traffic(lines, START, 0.01, seed))
    path.write_text("".join(f"{text}\n" for text in texts))
    return texts


class Shipper:
    """`kpi ship` with a data directory of its own."""

    def __init__(self, rig: Rig, directory: Path) -> None:
        self.positions = directory / "data" / "ship.json"
        self._directory = directory
        self._env = os.environ | {
            "KPI_BROKERS": rig.site.brokers,
            "KPI_TOPIC": rig.site.topic,
            "KPI_DATA_DIR": str(self.positions.parent),
        }

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A run that is killed at the end of the block, unless it is over."""
        with (self._directory / "ship.txt").open("ab") as said:
            run = await asyncio.create_subprocess_exec(
                KPI, "ship", *arguments, cwd=self._directory, env=self._env, stdout=said, stderr=said
            )
        try:
            yield run
        finally:
            if run.returncode is None:
                run.kill()
            await run.wait()

    async def finish(self, *arguments: str) -> None:
        """A run to its end."""
        async with self.running(*arguments) as run:
            assert await run.wait() == 0, (self._directory / "ship.txt").read_text()


async def ends(rig: Rig) -> dict[int, int]:
    """The next offset of each partition of the raw topic."""
    async with AIOKafkaConsumer(bootstrap_servers=rig.site.brokers) as consumer:
        tps = [TopicPartition(rig.site.topic, partition) for partition in range(rig.site.source.partitions)]
        return {tp.partition: end for tp, end in (await consumer.end_offsets(tps)).items()}


async def settled(rig: Rig) -> None:
    """Wait until all that is in the topic is in the rows."""

    async def probe() -> bool:
        rig.check()
        books = await rig.books()
        whole = all(books.get(partition, {}).get("next_offset") == end for partition, end in (await ends(rig)).items())
        return whole and not await rig.database.fetchval("SELECT count(*) FROM dirty_window WHERE window_seconds = 10")

    await until("all rows written", probe)


async def came_again(rig: Rig) -> tuple[int, Counter[tuple[str, int]]]:
    """Readable lines that the topic has once more, and how often it has each one; each in one partition only."""
    count, partitions, again = Counter[tuple[str, int]](), dict[tuple[str, int], int](), 0
    async for record in rig.read(rig.site.topic):
        found = orjson.loads(record.value)
        line = found["file"], found["offset"]
        count[line] += 1
        assert partitions.setdefault(line, record.partition) == record.partition
        again += count[line] > 1 and not recount([found["log"]]).reasons
    return again, count


async def right(rig: Rig, logs: Sequence[Sequence[str]]) -> int:
    """Every row, the books and the files are what the logs come to; returns how many duplicates there were."""
    await settled(rig)
    again, lines = await came_again(rig)
    truth = recount([line for log in logs for line in log], WINDOW_S, GRACE_S)
    rows = await rig.database.fetch(
        "SELECT window_start, requests, bytes_sent FROM access_kpi WHERE window_seconds = 10"
    )
    assert {int(row["window_start"].timestamp()): (row["requests"], row["bytes_sent"]) for row in rows} == {
        start: (window.requests, window.bytes_sent) for start, window in truth.windows.items()
    }
    books = (await rig.books()).values()
    assert sum(each["counted"] for each in books) == truth.counted
    assert sum(each["duplicates"] for each in books) == again
    assert sum(each["lines"] for each in books) == lines.total()
    files = await rig.database.fetch("SELECT * FROM completeness ORDER BY next_offset")
    sizes = sorted(sum(len(line.encode()) + 1 for line in log) for log in logs)
    assert [(row["first_offset"], row["next_offset"], row["missing_bytes"]) for row in files] == [
        (0, size, 0) for size in sizes
    ]
    assert not await rig.database.fetch("SELECT * FROM conservation WHERE difference <> 0 AND partition IS NOT NULL")
    return again


async def killed(rig: Rig, shipper: Shipper, log: Path, noted: int) -> None:
    """A run that is killed once half of the lines are in the topic, and has noted no more than `noted` bytes of them.

    It follows the log: however slow or fast all this is, it does not end before it is killed.
    """
    async with shipper.running(str(log), "--follow", "--rate", "5000") as run:

        async def has_sent() -> bool:
            assert run.returncode is None, "it ended before it was killed"
            return sum((await ends(rig)).values()) >= LINES // 2

        await until("half of it sent", has_sent)
        run.kill()
        await run.wait()
    positions = orjson.loads(shipper.positions.read_bytes())
    for topic in positions.values():
        (file,) = topic["files"]
        file["offset"] = min(file["offset"], noted)
    shipper.positions.write_bytes(orjson.dumps(positions))


@pytest.mark.parametrize("noted", [LINES // 4, 0], ids=["some noted", "nothing noted but names"])
async def test_what_a_killed_shipper_sends_again_counts_once(rig: Rig, tmp_path: Path, noted: int) -> None:
    """SIGKILL in the middle, then another run to the end, while a worker counts."""
    rig.start()
    log, shipper = tmp_path / "access.log", Shipper(rig, tmp_path)
    lines = written(log, LINES, seed=1)
    await killed(rig, shipper, log, sum(len(line.encode()) + 1 for line in lines[:noted]))
    await shipper.finish(str(log))
    assert await right(rig, [lines]) > 0


async def test_rotation_in_between_is_no_duplicate(rig: Rig, tmp_path: Path) -> None:
    """Killed, renamed, compressed, another log in its place with the same first line: all of both count."""
    rig.start()
    log, shipper = tmp_path / "access.log", Shipper(rig, tmp_path)
    lines = written(log, LINES, seed=1)
    await killed(rig, shipper, log, noted=0)
    old = tmp_path / "access.log.1.gz"
    old.write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    newer = [lines[0], *written(log, 2_000, seed=2)]
    log.write_text("".join(f"{line}\n" for line in newer))
    await shipper.finish(str(log), str(old))
    assert await right(rig, [lines, newer]) > 0
