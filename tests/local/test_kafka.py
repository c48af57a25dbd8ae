"""The embedded broker is a real one, and comes back from a crash with what it had."""

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import ProducerFenced

from kpi_app.local.errors import LocalError
from kpi_app.local.kafka import EmbeddedKafka
from tests.conftest import Kafka, MakeTopic, create_topic
from tests.local.processes import exists


async def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """The first `count` committed values of partition 0."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    consumer.assign([TopicPartition(topic, 0)])
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def write(bootstrap: str, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)


async def make_topic(bootstrap: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await create_topic(admin, name, 1)
    finally:
        await admin.close()


async def test_what_is_written_is_read(kafka: Kafka, topic: MakeTopic) -> None:
    """Lines go in and come out in order."""
    name = await topic()
    await write(kafka.bootstrap, name, b"one", b"two")
    assert await read(kafka.bootstrap, name, 2) == [b"one", b"two"]


async def test_a_transaction_is_read_only_once_committed(kafka: Kafka, topic: MakeTopic) -> None:
    """What was aborted is never seen."""
    name = await topic()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=name) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(name, b"aborted", partition=0)
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(name, b"committed", partition=0)
    assert await read(kafka.bootstrap, name, 1) == [b"committed"]


async def test_a_second_producer_fences_the_first(kafka: Kafka, topic: MakeTopic) -> None:
    """The broker lets only the newest producer of a transactional id write."""
    name = await topic()
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=name) as old:
        await old.begin_transaction()
        await old.send_and_wait(name, b"before", partition=0)
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=name):
            with pytest.raises(ProducerFenced):
                await old.commit_transaction()


async def test_a_killed_broker_comes_back_with_its_data_and_port(breakable_kafka: EmbeddedKafka) -> None:
    """SIGKILL and a new start lose nothing that was acknowledged."""
    bootstrap = breakable_kafka.bootstrap
    await make_topic(bootstrap, "kept")
    await write(bootstrap, "kept", b"before")
    breakable_kafka.kill()
    assert not exists(breakable_kafka.pid)
    breakable_kafka.start()
    assert breakable_kafka.bootstrap == bootstrap
    await write(bootstrap, "kept", b"after")
    assert await read(bootstrap, "kept", 2) == [b"before", b"after"]
    breakable_kafka.stop()
    assert not exists(breakable_kafka.pid)


def test_a_broker_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    """A damaged data directory is one error with Kafka's own words."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=x\n")
    server = EmbeddedKafka(tmp_path)
    with pytest.raises(LocalError, match=r"(?s)Kafka ended with exit code 1 before it answered.*node.id"):
        server.start()
    assert not server.running


def test_a_data_directory_that_kafka_would_split_is_refused(tmp_path: Path) -> None:
    """A comma in log.dirs would mean two directories."""
    with pytest.raises(LocalError, match="has a comma"):
        EmbeddedKafka(tmp_path / "a,b").start()
