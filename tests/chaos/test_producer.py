"""The lines of a run go on, whatever their client makes of a broker that was away."""

import asyncio

import pytest

from kpi_app.local.kafka import EmbeddedKafka
from tests.chaos import producer as subject
from tests.chaos.producer import Lines, Producer
from tests.chaos.stage import TOPIC, make_topic
from tests.exactness.workers import until


async def test_a_client_that_hears_nothing_is_replaced(
    breakable_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it still had is not known; lines flow again, and each is known to be in the topic or not."""
    monkeypatch.setattr(subject, "SILENT_S", 0.5)
    await make_topic(breakable_kafka.bootstrap, 2)
    lines = Producer(breakable_kafka.bootstrap, TOPIC, Lines(2, 1), rate=500, speed=1)
    lines.start()

    async def flowing() -> bool:
        return lines.acknowledged.total() > 0

    async def replaced() -> bool:
        return lines.unknown > 0

    await until("lines flow", flowing)
    await asyncio.to_thread(breakable_kafka.kill)
    await until("the client is replaced", replaced)
    await asyncio.to_thread(breakable_kafka.start)
    lines.acknowledged.clear()
    await until("lines flow again", flowing)
    await asyncio.to_thread(lines.finish)
    assert len(lines._client) == 0
