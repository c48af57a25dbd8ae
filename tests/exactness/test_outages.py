"""The broker or Postgres goes away for a while: lines wait, none is lost, none counts twice."""

import asyncio

from kpi_app.local.kafka import EmbeddedKafka
from kpi_app.local.postgres import EmbeddedPostgres
from kpi_app.stream.bend.stop import EXIT_CODE
from tests.exactness.conftest import MakeRig
from tests.exactness.orders import Step
from tests.exactness.workers import until


async def test_checkpoints_go_on_while_postgres_is_away(
    make_rig: MakeRig, breakable_postgres: EmbeddedPostgres
) -> None:
    """Without Postgres lines are folded and made durable in Kafka; once it is back they arrive, each one once."""
    rig = await make_rig(dsn=breakable_postgres.dsn)
    rig.start()
    await rig.send()
    await rig.exact()
    await asyncio.to_thread(breakable_postgres.kill)
    for _ in range(3):
        await rig.send()
        await rig.checkpointed()
    await asyncio.to_thread(breakable_postgres.start)
    await rig.connect()
    await rig.exact()


async def test_a_worker_that_ends_while_postgres_is_away_leaves_it_all_in_kafka(
    make_rig: MakeRig, breakable_postgres: EmbeddedPostgres
) -> None:
    """What was checkpointed without Postgres survives the worker and its disk."""
    rig = await make_rig(dsn=breakable_postgres.dsn)
    worker = rig.start()
    await rig.send()
    await rig.exact()
    await asyncio.to_thread(breakable_postgres.kill)
    await rig.send()
    await rig.checkpointed()
    await rig.kill(worker)
    await asyncio.to_thread(breakable_postgres.start)
    await rig.connect()
    rig.start()
    await rig.exact()


async def test_a_worker_ends_itself_when_its_checkpoint_finds_no_broker(
    make_rig: MakeRig, breakable_kafka: EmbeddedKafka
) -> None:
    """A worker whose broker dies in mid-transaction ends itself; started again with the broker, it loses nothing."""
    rig = await make_rig(brokers=breakable_kafka.bootstrap)
    worker = rig.start(Step("checkpoint: books sent", "hold"), patches=("impatient_checkpoints",))
    await rig.send()
    await worker.reached("checkpoint: books sent")
    await asyncio.to_thread(breakable_kafka.kill)
    await worker.let_go("checkpoint: books sent")
    assert await worker.ended() == EXIT_CODE
    assert "cannot checkpoint" in worker.log
    rig.site.workers.remove(worker)
    await asyncio.to_thread(breakable_kafka.start)
    rig.start(disk=worker.order.disk)
    await rig.send()
    await rig.exact()


async def test_a_broker_that_is_back_soon_costs_nothing(make_rig: MakeRig, breakable_kafka: EmbeddedKafka) -> None:
    """Whether a worker outlives a restart of the broker or is started again, no number changes."""
    rig = await make_rig(brokers=breakable_kafka.bootstrap)
    worker = rig.start()
    await rig.send()
    await worker.arm(Step("checkpoint: segments sent", "hold"))
    await rig.send()
    await worker.reached("checkpoint: segments sent")
    await asyncio.to_thread(breakable_kafka.kill)
    await asyncio.to_thread(breakable_kafka.start)
    rig.may_end(worker, EXIT_CODE)
    await worker.let_go("checkpoint: segments sent")
    await rig.send()

    async def came_through() -> bool:
        return worker.exit_code is not None or await rig.is_flushed()

    await until("the worker's decision", came_through)
    if worker.exit_code is not None:
        await rig.ended(worker)
        rig.start(disk=worker.order.disk)
    await rig.exact()
