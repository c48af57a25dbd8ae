"""What happens to the raw topic: read again, grown, written in transactions, emptied, made anew."""

from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete

from kpi_app.stream.bend.stop import EXIT_CODE
from tests.conftest import create_topic
from tests.exactness.rig import Rig


@pytest.mark.parametrize("patches", [(), ("no_explicit_seek",)], ids=["sought", "really read again"])
async def test_group_offsets_set_to_zero_change_nothing(rig: Rig, patches: tuple[str, ...]) -> None:
    """The state decides where reading goes on, and skips what it has seen."""
    worker = rig.start()
    await rig.send()
    await rig.exact()
    await rig.kill(worker)
    await rig.set_group_offsets({0: 0, 1: 0, 2: 0})
    rig.start(disk=worker.order.disk, patches=patches)
    await rig.send()
    await rig.exact()


async def test_a_topic_counted_again_from_nothing_gives_the_same_rows(rig: Rig) -> None:
    """After `kpi reset` the same log comes to the same rows, books and dead letters."""
    worker = rig.start()
    await rig.send()
    await rig.send()
    await rig.exact()
    worker.stop()
    assert await rig.ended(worker) == 0
    before = await rig.found()
    await rig.reset(worker)
    assert not await rig.rows()
    rig.start(disk=worker.order.disk)
    await rig.exact()
    assert await rig.found() == before


async def test_partitions_added_while_running_are_counted(rig: Rig) -> None:
    """Lines in partitions that are added later count from their first on."""
    rig.start(metadata_age_s=0.5)
    await rig.send()
    await rig.exact()
    await rig.admin.create_partitions({rig.site.topic: NewPartitions(total_count=5)})
    rig.site.source.partitions = 5
    await rig.producer.client.force_metadata_update()
    await rig.send()
    await rig.exact()


async def test_lines_of_transactions_count_once_they_are_committed(rig: Rig) -> None:
    """Markers of transactions are no lines, and neither are records that were aborted."""
    rig.start()
    async with AIOKafkaProducer(bootstrap_servers=rig.site.brokers, transactional_id=rig.site.topic) as producer:
        for aborted in (False, True, True, False, False, True):
            await in_a_transaction(rig, producer, aborted)
            await rig.send()
    await rig.exact()


async def in_a_transaction(rig: Rig, producer: AIOKafkaProducer, aborted: bool) -> None:
    """Send the next lot, and commit or abort it."""
    ours, rig.producer = rig.producer, producer
    before = {partition: list(records) for partition, records in rig.site.sent.items()}
    await producer.begin_transaction()
    try:
        await rig.send()
    finally:
        rig.producer = ours
    if aborted:
        await producer.abort_transaction()
        rig.site.sent.update(before)
    else:
        await producer.commit_transaction()


@pytest.mark.parametrize("unread", ["some", "all"])
async def test_lines_removed_before_they_were_read_are_counted_as_lost(rig: Rig, unread: str) -> None:
    """Offsets that the topic no longer has are in the books, and nothing else goes wrong."""
    worker = rig.start()
    await rig.send()
    await rig.exact()
    await rig.kill(worker)
    first = {partition: records[-1].offset + 1 for partition, records in rig.site.sent.items()}
    await rig.send()
    removed = await remove(rig, {p: (n + 5 if unread == "some" else -1) for p, n in first.items()})
    for partition, low in removed.items():
        rig.site.lost[partition] = low - first[partition]
        rig.site.sent[partition] = [r for r in rig.site.sent[partition] if not first[partition] <= r.offset < low]
    rig.start(disk=worker.order.disk)
    await rig.send()
    await rig.exact()


async def remove(rig: Rig, below: dict[int, int]) -> dict[int, int]:
    """Remove records below an offset, -1 for all; returns the first offset left, by partition."""
    request = {TopicPartition(rig.site.topic, p): RecordsToDelete(before_offset=offset) for p, offset in below.items()}
    answers: Any = await rig.admin.delete_records(request)
    return {tp.partition: low for tp, low in answers.items()}


async def test_a_topic_made_anew_stops_the_worker(rig: Rig) -> None:
    """A raw topic that ends below what was counted of it is not the same one: the worker says so and ends."""
    worker = rig.start()
    await rig.send()
    await rig.exact()
    await rig.kill(worker)
    await rig.admin.delete_topics([rig.site.topic])
    await create_topic(rig.admin, rig.site.topic, 3)
    again = rig.start(disk=worker.order.disk)
    assert await rig.ended(again) == EXIT_CODE
    assert "kpi reset" in again.log


async def test_a_topic_made_anew_while_running_stops_the_worker(rig: Rig) -> None:
    """The same, under a running worker."""
    worker = rig.start()
    await rig.send()
    await rig.exact()
    await rig.admin.delete_topics([rig.site.topic])
    await create_topic(rig.admin, rig.site.topic, 3)
    assert await rig.ended(worker) == EXIT_CODE
    assert "kpi reset" in worker.log
