"""Topics are made, and grown, by whichever worker is first."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from kpi_app.settings import Settings
from kpi_app.stream.kafka import admin
from kpi_app.stream.topics import Names, ensure_topics
from tests.conftest import Kafka, MakeTopic


async def test_workers_that_grow_the_changelog_at_once_all_go_on(kafka: Kafka, topic: MakeTopic) -> None:
    """Partitions were added: after the rebalance each of them gives the changelog as many, one of them first."""
    settings = Settings(brokers=kafka.bootstrap, topic=await topic(partitions=2))
    assert await ensure_topics(settings) == 2
    async with admin(settings) as client:
        for many in (5, 9):
            await client.create_partitions({settings.topic: NewPartitions(total_count=many)})
            while await _partitions(client, settings.topic) < many:  # noqa: ASYNC110  the broker sets no event of ours
                await asyncio.sleep(0.01)
            assert await asyncio.gather(*(ensure_topics(settings) for _ in range(8))) == [many] * 8
            assert await _partitions(client, Names(settings.topic).changelog) == many
        await client.delete_topics([Names(settings.topic).changelog, Names(settings.topic).rejected])


async def _partitions(client: AIOKafkaAdminClient, topic: str) -> int:
    (described,) = await client.describe_topics([topic])
    return len(described["partitions"])
