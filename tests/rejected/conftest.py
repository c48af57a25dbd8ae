"""A raw topic of two partitions with its dead letters, for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from kpi_app.settings import Settings
from tests.conftest import Kafka, MakeTopic, create_topic
from tests.rejected.stage import Stage, staged

PARTITIONS = 2


@pytest.fixture
async def stage(kafka: Kafka, topic: MakeTopic, tmp_path: Path) -> AsyncIterator[Stage]:
    """Both topics are empty; the dead letters' has another number of partitions than the raw topic may get."""
    raw = await topic(PARTITIONS, name="raw")
    settings = Settings(brokers=kafka.bootstrap, topic=raw, data_dir=tmp_path)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await create_topic(admin, f"{raw}-rejected", PARTITIONS)
        async with staged(settings, PARTITIONS) as stage:
            yield stage
        await admin.delete_topics([f"{raw}-rejected"])
    finally:
        await admin.close()
