"""What each kind of fault does. A fault is over, and recovery from it begins, when its function returns."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

import asyncpg
from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from kpi_app.reset import forget
from kpi_app.settings import Settings, fields
from tests.chaos.schedule import Planned
from tests.chaos.stage import TOPIC, Stage
from tests.conftest import connected
from tests.exactness.workers import Unmet, until

OUTAGE_S = 60.0
_ASK_LIMIT_S = 10.0

_CUT = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE application_name = 'kpi_app' AND xact_start IS NOT NULL AND backend_xid IS NOT NULL
"""

#: Does it, and says to whom.
Fault = Callable[[Stage, Random], Awaitable[str]]


class Unheard(Exception):
    """A fault did not have the effect that makes it one."""


async def inject(stage: Stage, planned: Planned) -> str:
    """Do what is planned; returns what was done."""
    pick = Random(planned.seed)  # noqa: S311  no secret
    first, *second = (KINDS[kind](stage, Random(pick.getrandbits(32))) for kind in planned.kinds)  # noqa: S311
    if not second:
        return await first
    return " + ".join(await asyncio.gather(first, *(_later(other, planned.apart_s) for other in second)))


async def _later(fault: Awaitable[str], seconds: float) -> str:
    await asyncio.sleep(seconds)
    return f"{seconds:g} s later {await fault}"


# -- workers


async def worker_killed(stage: Stage, pick: Random) -> str:
    worker = await stage.fleet.pick(pick)
    await worker.end(kill=True)
    return f"worker {worker.number} killed"


async def worker_killed_disk_lost(stage: Stage, pick: Random) -> str:
    worker = await stage.fleet.pick(pick)
    await worker.end(kill=True, empty_disk=True)
    return f"worker {worker.number} killed, its disk lost"


async def worker_stopped(stage: Stage, pick: Random) -> str:
    worker = await stage.fleet.pick(pick)
    await worker.end(kill=False)
    return f"worker {worker.number} stopped"


async def worker_added(stage: Stage, pick: Random) -> str:
    return f"worker {stage.fleet.add().number} added"


async def worker_removed(stage: Stage, pick: Random) -> str:
    while len(stage.fleet.workers) < 2:  # never the last one
        stage.fleet.add()
    worker = await stage.fleet.pick(pick)
    await stage.fleet.remove(worker)
    return f"worker {worker.number} removed"


async def worker_frozen(stage: Stage, pick: Random) -> str:
    """Until the group has let go of it, and a while longer."""
    worker = await stage.fleet.pick(pick)
    longer_s = pick.uniform(0, 5)
    admin = _admin(stage)
    before = await until("a group that is at rest", lambda: _members(admin, stage))
    worker.freeze()
    try:

        async def let_go() -> bool:
            left = await _members(admin, stage)
            return left is not None and left < before

        with suppress(Unmet):  # another fault brought a member in: then it was long enough all the same
            await until("a member less", let_go, 20.0)
        await asyncio.sleep(longer_s)
    finally:
        worker.thaw()
    return f"worker {worker.number} frozen"


async def _members(admin: AdminClient, stage: Stage) -> int | None:
    """How many the group has; None while nobody can say."""
    found = await _group(admin, stage)
    at_rest = found is not None and found.state in (ConsumerGroupState.STABLE, ConsumerGroupState.EMPTY)
    return len(found.members) if at_rest else None


def _admin(stage: Stage) -> AdminClient:
    return AdminClient({"bootstrap.servers": stage.kafka.bootstrap, "log_level": 2})


async def _group(admin: AdminClient, stage: Stage) -> Any:
    """The workers' group as the broker describes it; None while it does not."""
    group = stage.names.app
    try:
        asked = admin.describe_consumer_groups([group], request_timeout=_ASK_LIMIT_S)[group]
        return await asyncio.to_thread(asked.result)
    except KafkaException:
        return None


async def disk_full(stage: Stage, pick: Random) -> str:
    """Until the worker has ended, which it should, or for a while."""
    worker = await stage.fleet.pick(pick)
    disk = worker.disk
    starts = worker.log
    with suppress(FileNotFoundError, ProcessLookupError):  # of two faults at once the other one took it away
        await asyncio.to_thread(disk.fill, worker.pid)

    async def ended() -> bool:
        return worker.exit_code is not None or worker.log != starts

    try:
        await until("the end of a worker without room on its disk", ended, 30.0)
        said = "it ended"
    except Unmet:
        said = "it went on"
    finally:
        disk.free()
    return f"disk of worker {worker.number} full ({disk.kind}), {said}"


# -- the broker


async def broker_killed(stage: Stage, pick: Random) -> str:
    away_s = pick.choice((0.0, pick.uniform(0, 8)))
    async with stage.broker:
        await asyncio.to_thread(stage.kafka.kill)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(stage.kafka.start)
    return f"broker killed, back after {away_s:.1f} s and its start"


async def broker_stopped(stage: Stage, pick: Random) -> str:
    async with stage.broker:
        await asyncio.to_thread(stage.kafka.stop)
        await asyncio.to_thread(stage.kafka.start)
    return "broker stopped and started"


# -- Postgres


async def postgres_killed(stage: Stage, pick: Random) -> str:
    async with stage.database:
        await asyncio.to_thread(stage.postgres.kill)
        await asyncio.to_thread(stage.postgres.start)
    return "Postgres killed and started"


async def postgres_stopped(stage: Stage, pick: Random) -> str:
    async with stage.database:
        await asyncio.to_thread(stage.postgres.stop)
        await asyncio.to_thread(stage.postgres.start)
    return "Postgres stopped and started"


async def postgres_away(stage: Stage, pick: Random) -> str:
    """Checkpoints have to go on meanwhile. Raises `Unheard` when they do not."""
    async with stage.database:
        await asyncio.to_thread(stage.postgres.kill)
        await asyncio.sleep(OUTAGE_S / 2)
        middle = await asyncio.to_thread(_changelog_end, stage)
        await asyncio.sleep(OUTAGE_S / 2)
        written = await asyncio.to_thread(_changelog_end, stage) - middle
        await asyncio.to_thread(stage.postgres.start)
    if not written:
        raise Unheard("no checkpoint in half a minute without Postgres")
    return f"Postgres away for {OUTAGE_S:g} s, {written:,} changelog records in the second half of it"


def _changelog_end(stage: Stage) -> int:
    consumer = _consumer(stage, "changelog-end")
    try:
        partitions = consumer.list_topics(stage.names.changelog, _ASK_LIMIT_S).topics[stage.names.changelog].partitions
        tps = [TopicPartition(stage.names.changelog, partition) for partition in partitions]
        return sum(consumer.get_watermark_offsets(tp, timeout=_ASK_LIMIT_S)[1] for tp in tps)
    finally:
        consumer.close()


async def connections_cut(stage: Stage, pick: Random) -> str:
    """Several times, each when some are in the middle of a transaction that has written."""
    cuts, done = pick.randint(2, 8), 0
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # of two faults at once the other one
        async with connected(stage.postgres.dsn) as connection:

            async def cut() -> int:
                return int(await connection.fetchval(_CUT))

            for _ in range(cuts):
                done += await until("a transaction to cut off", cut)
    return f"{done} connections cut in mid-transaction"


# -- the topic, again


async def offsets_zeroed(stage: Stage, pick: Random) -> str:
    """As Kafka's own tools do it, while all workers are stopped."""
    await stage.fleet.stop_all()
    await until("an empty group", lambda: _empty(stage))
    await asyncio.to_thread(_zero, stage)
    stage.fleet.start_all()
    return "all stopped, group offsets set to 0, started"


async def counted_again(stage: Stage, pick: Random) -> str:
    """`kpi reset`: every line is read again from offset 0."""
    await stage.fleet.stop_all()
    await until("an empty group", lambda: _empty(stage))
    await stage.watch.pause()
    for worker in stage.fleet.workers:
        await forget(Settings(**fields(stage.settings | {"KPI_DATA_DIR": str(worker.disk.directory)})))
    stage.watch.resume()
    stage.fleet.start_all()
    return "all stopped, `kpi reset`, started"


async def _empty(stage: Stage) -> bool:
    found = await _group(_admin(stage), stage)
    return found is not None and not found.members


def _zero(stage: Stage) -> None:
    consumer = _consumer(stage, stage.names.app)
    try:
        partitions = consumer.list_topics(TOPIC, _ASK_LIMIT_S).topics[TOPIC].partitions
        consumer.commit(offsets=[TopicPartition(TOPIC, partition, 0) for partition in partitions], asynchronous=False)
    finally:
        consumer.close()


def _consumer(stage: Stage, group: str) -> Consumer:
    return Consumer({"bootstrap.servers": stage.kafka.bootstrap, "group.id": group, "enable.auto.commit": False})


KINDS: dict[str, Fault] = {
    "worker killed, same disk": worker_killed,
    "worker killed, empty disk": worker_killed_disk_lost,
    "worker stopped": worker_stopped,
    "worker added": worker_added,
    "worker removed": worker_removed,
    "worker frozen past its session": worker_frozen,
    "broker killed": broker_killed,
    "broker stopped": broker_stopped,
    "postgres killed": postgres_killed,
    "postgres stopped": postgres_stopped,
    "postgres away for 60 s": postgres_away,
    "connections cut in mid-transaction": connections_cut,
    "group offsets set to 0": offsets_zeroed,
    "all counted again": counted_again,
    "disk full": disk_full,
}
