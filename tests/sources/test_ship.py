"""Shipping to a real broker: every line arrives, once, in the order of its file."""

# ruff: noqa: ASYNC240 - the tests write small files between two awaits, as a web server would

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from kpi_app.errors import UserError
from kpi_app.feeds.envelope import MAX_LINE_BYTES, decode
from kpi_app.local.kafka import EmbeddedKafka
from kpi_app.sources import follow as follow_module
from kpi_app.sources import outbox, pace
from kpi_app.sources import ship as subject
from kpi_app.sources.ship import Progress, ship
from kpi_app.sources.traffic import traffic
from tests.conftest import Kafka, MakeTopic, create_topic

LIMIT_S = 120  # only to end a test that hangs: nothing takes that long


@pytest.fixture(scope="module")
def fragile_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker to break, for all tests here: each leaves it running."""
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


class Ship(Protocol):
    """`ship` with the test's broker and data directory."""

    def __call__(self, *paths: Path, topic: str, **options: Any) -> Awaitable[Progress]:
        """As `ship`."""


@pytest.fixture
def shipping(kafka: Kafka, tmp_path: Path) -> Ship:
    """`await shipping(path, topic=…)`."""

    def call(*paths: Path, topic: str, **options: Any) -> Awaitable[Progress]:
        connection = {"bootstrap_servers": kafka.bootstrap}
        return ship(paths, connection=connection, topic=topic, data_dir=tmp_path / "data", **options)

    return call


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with a morning's lines."""
    return written(tmp_path / "logs" / "access.log", 2_000)


def written(path: Path, lines: int, seed: int = 1) -> Path:
    """A file with that many generated lines."""
    path.parent.mkdir(exist_ok=True)
    text = "".join(f"{line}\n" for line in traffic(lines, datetime(2023, 5, 23, tzinfo=UTC), 0.4, seed))
    path.write_text(text)
    return path


@contextlib.asynccontextmanager
async def reader(kafka: Kafka, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer at the beginning of every partition of a topic."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=20
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def take(consumer: AIOKafkaConsumer, count: int) -> list[Any]:
    """The next records, in each partition's order, as soon as there are `count`."""
    records: list[Any] = []
    async with asyncio.timeout(LIMIT_S):
        while len(records) < count:
            for some in (await consumer.getmany(timeout_ms=500)).values():
                records += some
    return records


async def arrived(kafka: Kafka, topic: str) -> dict[int, list[dict[str, Any]]]:
    """All that a topic holds: of each partition, the JSON objects in offset order."""
    async with reader(kafka, topic) as consumer:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        by_partition: dict[int, list[dict[str, Any]]] = {tp.partition: [] for tp in ends}
        for record in await take(consumer, sum(ends.values())):
            by_partition[record.partition].append(orjson.loads(record.value))
        return by_partition


def lines_in(by_partition: dict[int, list[dict[str, Any]]]) -> list[tuple[str, int, str]]:
    """Path, offset and text of each line of a topic, sorted."""
    return sorted((each["path"], each["offset"], each["log"]) for some in by_partition.values() for each in some)


def lines_of(path: Path, name: Path | None = None) -> list[tuple[str, int, str]]:
    """Path, offset and text of each line of a file, as they have to arrive."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines, offset = [], 0
    for line in data.splitlines(keepends=True):
        lines.append((str(name or path), offset, line.decode("utf-8", "replace").rstrip("\r\n")))
        offset += len(line)
    return lines


@contextlib.asynccontextmanager
async def running(shipment: Awaitable[Progress]) -> AsyncIterator["asyncio.Task[Progress]"]:
    """A shipment that goes on, until the block is left."""
    task = asyncio.ensure_future(shipment)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_every_line_arrives_once(kafka: Kafka, topic: MakeTopic, shipping: Ship, log: Path) -> None:
    """Each line is there with its path and offset, each partition in the file's order, and no partition is left out."""
    written(log, 20_000)
    name = await topic(partitions=3)
    progress = await shipping(log, topic=name)
    by_partition = await arrived(kafka, name)
    assert lines_in(by_partition) == lines_of(log)
    assert all(by_partition.values())
    for some in by_partition.values():
        assert [each["offset"] for each in some] == sorted(each["offset"] for each in some)
    assert progress == Progress(log.stat().st_size, log.stat().st_size, 20_000, str(log))


async def test_records_have_no_key_and_the_present_time(
    kafka: Kafka, topic: MakeTopic, shipping: Ship, log: Path
) -> None:
    """Key None, and a time of sending by which a worker can tell a line from the future."""
    name = await topic()
    before = datetime.now(UTC).timestamp() * 1000
    await shipping(log, topic=name)
    async with reader(kafka, name) as consumer:
        records = await take(consumer, 2_000)
    assert {record.key for record in records} == {None}
    assert all(before - 1 <= record.timestamp <= datetime.now(UTC).timestamp() * 1000 for record in records)


async def test_second_run_sends_nothing_again(kafka: Kafka, topic: MakeTopic, shipping: Ship, log: Path) -> None:
    """A run goes on where the last one stopped, which may be within a line that had no newline yet."""
    name = await topic()
    with log.open("ab") as file:
        file.write(b"no newline yet")
    await shipping(log, topic=name)
    again = await shipping(log, topic=name)
    assert (again.lines, again.bytes_done) == (0, log.stat().st_size)
    with log.open("ab") as file:
        file.write(b"\none more\n")
    assert (await shipping(log, topic=name)).lines == 1
    assert lines_in(await arrived(kafka, name)) == lines_of(log)


async def test_cancelled_run_is_taken_up(kafka: Kafka, topic: MakeTopic, shipping: Ship, log: Path) -> None:
    """Cancelled in the middle, it ends soon, and the next run sends the rest: nothing twice, nothing missing."""
    written(log, 30_000)
    name = await topic(partitions=2)
    some = asyncio.Event()

    def seen(progress: Progress) -> None:
        if progress.lines:
            some.set()

    async with running(shipping(log, topic=name, rate=10_000, report=seen)) as task:
        await asyncio.wait_for(some.wait(), LIMIT_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
    first = sum(map(len, (await arrived(kafka, name)).values()))
    assert 0 < first < 30_000
    rest = await shipping(log, topic=name)
    assert first + rest.lines == 30_000
    assert lines_in(await arrived(kafka, name)) == lines_of(log)


async def test_rotated_set_goes_oldest_first(kafka: Kafka, topic: MakeTopic, shipping: Ship, log: Path) -> None:
    """A gzip, a renamed file and the log itself: the oldest is first in each partition, offsets are uncompressed."""
    plain = written(log.with_name("access.log.2"), 500, seed=2).read_bytes()
    oldest = log.with_name("access.log.2.gz")
    oldest.write_bytes(gzip.compress(plain[:9_000]) + gzip.compress(plain[9_000:]))  # of two members, as `cat` makes it
    newer = written(log.with_name("access.log.1"), 500, seed=3)
    name = await topic(partitions=1)
    progress = await shipping(log, oldest, newer, topic=name)
    (sent,) = (await arrived(kafka, name)).values()
    assert [(each["path"], each["offset"], each["log"]) for each in sent] == [
        *lines_of(oldest),
        *lines_of(newer),
        *lines_of(log),
    ]
    assert progress.bytes_done == sum(path.stat().st_size for path in (oldest, newer, log))


async def test_compressed_since_it_was_sent(kafka: Kafka, topic: MakeTopic, shipping: Ship, log: Path) -> None:
    """The rest of a log that was rotated and compressed in between is sent, under its old name, and no line twice."""
    name = await topic()
    expected = lines_of(log)
    data = log.read_bytes()
    log.write_bytes(data[: expected[1_000][1]])
    await shipping(log, topic=name)
    compressed = log.with_name("access.log.1.gz")
    compressed.write_bytes(gzip.compress(data))
    log.unlink()
    assert (await shipping(compressed, topic=name)).lines == 1_000
    assert lines_in(await arrived(kafka, name)) == expected


async def test_odd_lines_arrive_as_fluent_bit_sends_them(
    kafka: Kafka, topic: MakeTopic, shipping: Ship, log: Path
) -> None:
    """Empty lines, carriage returns, bytes that are no UTF-8, NUL, a last line without newline."""
    log.write_bytes(b"\n\ncr\r\ncaf\xe9 \xff\n\x00nul\nd\xc3\xa9j\xc3\xa0 vu\nlast")
    name = await topic()
    await shipping(log, topic=name)
    assert [(offset, text) for _, offset, text in lines_in(await arrived(kafka, name))] == [
        (0, ""),
        (1, ""),
        (2, "cr"),
        (6, "caf\ufffd \ufffd"),
        (13, "\x00nul"),
        (18, "déjà vu"),
        (28, "last"),
    ]


async def test_endless_line_stops_nothing(kafka: Kafka, topic: MakeTopic, shipping: Ship, log: Path) -> None:
    """A line of 3 MB arrives cut, to be counted as oversize, and the lines around it arrive whole."""
    rest = log.read_bytes()
    log.write_bytes(b"before\n" + b"\x01" * 3_000_000 + b"\n" + rest)
    name = await topic()
    await shipping(log, topic=name)
    async with reader(kafka, name) as consumer:
        values = [record.value for record in await take(consumer, 2_002)]
    assert decode(values)["reason"].to_list() == [None, "oversize"] + [None] * 2_000
    assert orjson.loads(values[0])["log"] == "before"
    assert len(values[1]) > MAX_LINE_BYTES
    assert orjson.loads(values[2])["offset"] == 3_000_008


async def test_many_tiny_lines(kafka: Kafka, topic: MakeTopic, shipping: Ship, log: Path) -> None:
    """One read of them is more than a batch takes: they go in several, and all arrive."""
    log.write_bytes(b"\n" * 50_000)
    name = await topic(partitions=2)
    await shipping(log, topic=name)
    assert [offset for _, offset, _ in lines_in(await arrived(kafka, name))] == list(range(50_000))


async def test_rate_is_kept(topic: MakeTopic, shipping: Ship, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 lines at 100 a second take 20 s, all but the first portion of 5, by a clock that doesn't wait for real."""
    now_s = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds
        await asyncio.sleep(0)

    monkeypatch.setattr(subject, "Pace", lambda rate: pace.Pace(rate, lambda: now_s, sleep))
    assert (await shipping(log, topic=await topic(), rate=100)).lines == 2_000
    assert now_s == pytest.approx(19.95)


async def test_following_goes_through_a_rotation(
    kafka: Kafka, topic: MakeTopic, shipping: Ship, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rename and create: what the server still writes to the old file arrives, and before it is over its last line.

    access.log  [2,000 lines, half of one]  renamed: [its other half, last line without newline]
                                                     [new file: 500 lines]
    """
    monkeypatch.setattr(subject, "_POLL_S", 0.01)
    name = await topic(partitions=2)
    append(log, b"half a line, ")
    async with reader(kafka, name) as consumer, running(shipping(log, topic=name, follow=True)):
        records = await take(consumer, 2_000)
        old = log.rename(log.with_name("access.log.1"))
        append(old, b"its other half\nno newline")
        records += await take(consumer, 1)
        assert orjson.loads(records[-1].value)["log"] == "half a line, its other half"
        written(log, 500, seed=9)
        records += await take(consumer, 500)
        monkeypatch.setattr(follow_module, "ROTATE_WAIT_S", 0)  # the old file is over now
        records += await take(consumer, 1)
    sent = [orjson.loads(record.value) for record in records]
    assert sorted((each["path"], each["offset"], each["log"]) for each in sent) == sorted(
        [*lines_of(old, name=log), *lines_of(log)]
    )
    assert sent[-1]["log"] == "no newline"


async def test_following_goes_on_after_rotations_that_it_missed(
    kafka: Kafka, topic: MakeTopic, shipping: Ship, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotated twice while nothing ran: the old file's tail is sent first, then the file between, then the new one."""
    monkeypatch.setattr(subject, "_POLL_S", 0.01)
    name = await topic()
    await shipping(log, topic=name)
    append(log, b"while nobody read\n")
    old = log.rename(log.with_name("access.log.2"))
    between = log.with_name("access.log.1")
    between.write_bytes(b"between\n")
    async with reader(kafka, name) as consumer, running(shipping(log, topic=name, follow=True)):
        records = await take(consumer, 2_002)
        log.write_bytes(b"new\n")  # there was none yet
        records += await take(consumer, 1)
    sent = [orjson.loads(record.value) for record in records]
    assert [each["log"] for each in sent[2_000:]] == ["while nobody read", "between", "new"]
    assert lines_in(await arrived(kafka, name)) == sorted(
        [*lines_of(old, name=log), *lines_of(between, name=log), *lines_of(log)]
    )


async def test_following_compressed_files_only_ends(topic: MakeTopic, shipping: Ship, log: Path) -> None:
    """No line is ever added to them: there is nothing to wait for."""
    compressed = log.with_name("access.log.1.gz")
    compressed.write_bytes(gzip.compress(log.read_bytes()))
    progress = await asyncio.wait_for(shipping(compressed, topic=await topic(), follow=True), LIMIT_S)
    assert progress.lines == 2_000


async def test_following_a_log_that_is_cut(
    kafka: Kafka,
    topic: MakeTopic,
    shipping: Ship,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """copytruncate: the new content is sent from its start, with a warning, and the next run goes on within it."""
    monkeypatch.setattr(subject, "_POLL_S", 0.01)
    name = await topic()
    async with reader(kafka, name) as consumer:
        async with running(shipping(log, topic=name, follow=True)):
            await take(consumer, 2_000)
            log.write_bytes(b"new\n")  # keeps the inode
            (record,) = await take(consumer, 1)
            assert orjson.loads(record.value)["offset"] == 0
        append(log, b"newer\n")
        await shipping(log, topic=name)
        (record,) = await take(consumer, 1)
        assert (orjson.loads(record.value)["offset"], orjson.loads(record.value)["log"]) == (4, "newer")
    assert "copytruncate" in caplog.text


async def test_topic_made_anew_gets_everything(
    kafka: Kafka, topic: MakeTopic, shipping: Ship, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A topic of that name that holds less than was acknowledged is another one: all is sent again."""
    name = await topic()
    await shipping(log, topic=name)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([name])
        async with asyncio.timeout(LIMIT_S):
            while name in await admin.list_topics():  # noqa: ASYNC110 - Kafka tells nobody
                await asyncio.sleep(0.02)
            while (await admin.create_topics([NewTopic(name, 1, 1)])).topic_errors[0][1]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    finally:
        await admin.close()
    assert (await shipping(log, topic=name)).lines == 2_000
    assert "made anew" in caplog.text
    assert (await shipping(log, topic=name)).lines == 0


async def test_unknown_topic_is_the_users_error_and_stays_unknown(
    kafka: Kafka, shipping: Ship, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A topic by a misspelt name is not made: one clear line names it."""
    for _ in range(2):
        with pytest.raises(UserError, match="no topic 'misspelt'"):
            await shipping(log, topic="misspelt")
    assert caplog.text == ""


async def test_damaged_gzip_is_sent_as_far_as_it_goes(
    kafka: Kafka, topic: MakeTopic, shipping: Ship, log: Path
) -> None:
    """The lines before the damage arrive, then one clear line names the file; they are not sent twice."""
    damaged = log.with_name("access.log.2.gz")
    data = b"".join(b"%d %d\n" % (i, i * i * 7919) for i in range(30_000))
    damaged.write_bytes(gzip.compress(data)[:-1_000])
    name = await topic()
    for _ in range(2):
        with pytest.raises(UserError, match=r"access\.log\.2\.gz is damaged"):
            await shipping(damaged, topic=name)
    lines = lines_in(await arrived(kafka, name))
    assert len(lines) > 20_000
    assert [(offset, text) for _, offset, text in lines] == [
        (offset, text) for _, offset, text in lines_of(written_bytes(log, data))[: len(lines)]
    ]


@pytest.mark.parametrize("listens", [False, True])
async def test_unreachable_broker_is_the_users_error(
    log: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    """Nobody there, or somebody who never answers: one clear line with the address, and no log of aiokafka's."""
    monkeypatch.setattr("kpi_app.sources.connection._CONNECT_LIMIT_S", 0.5)
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        if listens:
            somebody.listen()
        address = f"127.0.0.1:{somebody.getsockname()[1]}"
        with pytest.raises(UserError, match=f"can't be reached at {address}") as error:
            await ship([log], connection={"bootstrap_servers": address}, topic="t", data_dir=tmp_path)
    assert "\n" not in str(error.value)
    assert not str(error.value).endswith(": ")
    assert caplog.text == ""


async def test_wrong_path_shows_before_kafka_is_asked(tmp_path: Path) -> None:
    """No broker is needed to say that a file is missing."""
    with pytest.raises(UserError, match="No such file"):
        await ship([tmp_path / "none"], connection={"bootstrap_servers": "127.0.0.1:1"}, topic="t", data_dir=tmp_path)


async def test_broker_that_restarts_is_waited_for(
    fragile_kafka: EmbeddedKafka, tmp_path: Path, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed and started again in the middle: every line arrives, none twice, and aiokafka's log stays silent."""
    written(log, 20_000)
    connection = {"bootstrap_servers": fragile_kafka.bootstrap}
    name = await made_topic(fragile_kafka)
    some = asyncio.Event()

    def seen(progress: Progress) -> None:
        if progress.lines > 2_000:
            some.set()

    shipment = ship([log], connection=connection, topic=name, data_dir=tmp_path / "data", rate=10_000, report=seen)
    async with running(shipment) as task:
        await asyncio.wait_for(some.wait(), LIMIT_S)
        fragile_kafka.kill()
        await asyncio.to_thread(fragile_kafka.start)
        progress = await asyncio.wait_for(task, LIMIT_S)
    assert progress.lines == 20_000
    assert lines_in(await arrived(fragile_kafka, name)) == lines_of(log)
    assert all("aiokafka" not in record.name for record in caplog.records)


async def test_broker_that_is_gone_is_told_once_patience_ends(
    fragile_kafka: EmbeddedKafka, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gone for good: one clear line, soon; the next run on a broker that is back sends the rest."""
    monkeypatch.setattr(subject, "_PATIENCE_S", 1.0)
    monkeypatch.setattr(subject, "_DRAIN_LIMIT_S", 0.5)
    written(log, 20_000)
    connection = {"bootstrap_servers": fragile_kafka.bootstrap}
    name = await made_topic(fragile_kafka)

    def kill(progress: Progress) -> None:
        if progress.lines > 2_000:
            fragile_kafka.kill()

    options: dict[str, Any] = {"connection": connection, "topic": name, "data_dir": tmp_path / "data"}
    with pytest.raises(UserError, match="has not answered"):
        await asyncio.wait_for(ship([log], rate=10_000, report=kill, **options), LIMIT_S)
    await asyncio.to_thread(fragile_kafka.start)
    await ship([log], **options)
    lines = lines_in(await arrived(fragile_kafka, name))
    assert sorted(set(lines)) == lines_of(log)  # a batch whose acknowledgement was lost may be there twice


async def test_cancelled_while_the_broker_is_gone(
    fragile_kafka: EmbeddedKafka, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Following without a broker it waits, warns, and still ends within five seconds of its cancellation."""
    monkeypatch.setattr(subject, "_POLL_S", 0.01)
    monkeypatch.setattr(outbox, "_WARN_AFTER_S", 0.1)
    warned = asyncio.Event()
    monkeypatch.setattr(outbox.log, "warning", lambda *_: warned.set())
    connection = {"bootstrap_servers": fragile_kafka.bootstrap}
    name = await made_topic(fragile_kafka)
    some = asyncio.Event()
    shipment = ship(
        [log], connection=connection, topic=name, data_dir=tmp_path / "data", follow=True, report=lambda _: some.set()
    )
    async with running(shipment) as task:
        await asyncio.wait_for(some.wait(), LIMIT_S)
        fragile_kafka.kill()
        append(log, b"more\n")
        await asyncio.wait_for(warned.wait(), LIMIT_S)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()
    await asyncio.to_thread(fragile_kafka.start)


async def made_topic(kafka: Kafka) -> str:
    """A topic of two partitions on a broker of the test's own."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        return await create_topic(admin, f"test-{uuid4().hex[:12]}", 2)
    finally:
        await admin.close()


def append(path: Path, data: bytes) -> None:
    """Write as a web server does."""
    with path.open("ab") as file:
        file.write(data)


def written_bytes(path: Path, data: bytes) -> Path:
    """The file, with that content."""
    path.write_bytes(data)
    return path
