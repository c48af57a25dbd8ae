"""Connection: to Kafka, or one clear line that says why not."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from kpi_app.errors import UserError

#: How the clients of this package are told where Kafka is: keyword arguments of aiokafka's clients.
Connection = Mapping[str, Any]

#: Bytes of a batch before compression. One record may be larger.
_BATCH_BYTES = 768 * 1024
_CONNECT_LIMIT_S = 10.0
_CLOSE_LIMIT_S = 1.0


class Topic(NamedTuple):
    """What there is in Kafka to send to."""

    cluster: str
    name: str
    partitions: tuple[int, ...]


@contextlib.asynccontextmanager
async def connect(connection: Connection, topic: str) -> AsyncIterator[tuple[Topic, Any]]:
    """Yield the topic and a producer for it. Makes nothing in Kafka.

    Raises `UserError` when Kafka can't be reached within ten seconds, or when there is no such topic.
    aiokafka's own log is silent meanwhile: it would tell of each try to connect anew.
    """
    with _Silence() as silence:
        producer = None
        try:
            async with asyncio.timeout(_CONNECT_LIMIT_S):
                found = await _describe(connection, topic)
                producer = AIOKafkaProducer(
                    **connection,
                    acks="all",
                    enable_idempotence=True,
                    compression_type="zstd",
                    max_batch_size=_BATCH_BYTES,
                )
                await producer.start()
                await producer.partitions_for(topic)
        except (KafkaError, OSError, TimeoutError) as error:
            await close(producer)
            servers = connection["bootstrap_servers"]
            raise UserError(f"Kafka can't be reached at {servers}: {silence.reason or text_of(error)}") from error
        except BaseException:
            await close(producer)
            raise
        try:
            yield found, producer
        finally:
            await close(producer)


async def end_offsets(connection: Connection, topic: Topic) -> dict[int, int]:
    """Of each partition, the offset that the next line will get. Raises `UserError` when Kafka is away."""
    consumer = AIOKafkaConsumer(**connection)
    try:
        async with asyncio.timeout(_CONNECT_LIMIT_S):
            await consumer.start()
            ends = await consumer.end_offsets([TopicPartition(topic.name, p) for p in topic.partitions])
    except (KafkaError, OSError, TimeoutError) as error:
        raise UserError(f"Kafka can't be asked for the end of topic {topic.name}: {text_of(error)}") from error
    finally:
        await consumer.stop()
    return {each.partition: end for each, end in ends.items()}


async def _describe(connection: Connection, topic: str) -> Topic:
    admin = AIOKafkaAdminClient(**connection)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        # Not by its name: a broker with auto.create.topics.enable makes a topic that it is asked for.
        found = {each["topic"]: each for each in await admin.describe_topics()}
    finally:
        await admin.close()
    if topic not in found or not found[topic]["partitions"]:
        raise UserError(f"Kafka has no topic {topic!r}: make it first, or set KPI_TOPIC to one that it has")
    return Topic(cluster["cluster_id"], topic, tuple(sorted(p["partition"] for p in found[topic]["partitions"])))


async def close(producer: Any) -> None:
    """Stop the producer, even if a broker that is away keeps it waiting."""
    if producer is None:
        return
    try:
        async with asyncio.timeout(_CLOSE_LIMIT_S):
            await producer.flush()
        await producer.stop()
    except TimeoutError:
        await _abandon(producer)


async def _abandon(producer: Any) -> None:
    """Stop a producer that would try for ever to send what it has: `stop` of aiokafka 0.14 waits for that."""
    sender = producer._sender.sender_task
    while sender is not None and not sender.done():
        sender.cancel()  # each time it ends one of the requests that it waits for
        await asyncio.sleep(0)
    producer._closed = True
    await producer.client.close()


def text_of(error: Exception) -> str:
    """What there is to say about it: many errors have but a name."""
    if isinstance(error, TimeoutError):
        return "no answer"
    return str(error) or type(error).__name__


class _Silence(logging.Handler):
    """Keeps aiokafka's log off the terminal, and its last complaint."""

    reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self.reason = record.getMessage()

    def __enter__(self) -> "_Silence":
        self._log = logging.getLogger("aiokafka")
        self._propagates, self._log.propagate = self._log.propagate, False
        self._log.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self)
        self._log.propagate = self._propagates
