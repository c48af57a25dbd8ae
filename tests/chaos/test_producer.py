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
    """What it still had is not known; lines flow again, and none is left out of account."""
    await make_topic(breakable_kafka.bootstrap, 2)
    lines = Producer(breakable_kafka.bootstrap, TOPIC, Lines(2, 1), rate=500, speed=1)
    lines.start()

    before = 0

    async def flowing() -> bool:
        return lines.acknowledged.total() > before

    async def replaced() -> bool:
        return lines.unknown > 0

    await until("lines flow", flowing)
    await asyncio.to_thread(breakable_kafka.kill)
    with monkeypatch.context() as patch:
        patch.setattr(subject, "SILENT_S", 0.5)
        await until("the client is replaced", replaced)
    before = lines.acknowledged.total()
    await asyncio.to_thread(breakable_kafka.start)
    await until("lines flow again", flowing)
    await asyncio.to_thread(lines.finish)
    assert lines.acknowledged.total() + lines.unknown >= lines.sent
