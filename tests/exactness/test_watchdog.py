"""A worker that makes no progress says so and ends; one that waits for what will come, or for Postgres, does not."""

import asyncio
import os
import signal
from typing import Any

import aiohttp
import pytest

from kpi_app.local.kafka import EmbeddedKafka
from kpi_app.local.postgres import EmbeddedPostgres
from kpi_app.stream.bend.stop import EXIT_CODE
from tests.exactness.conftest import MakeRig
from tests.exactness.orders import Step
from tests.exactness.rig import Rig
from tests.exactness.workers import Worker, until

#: What a worker may wait in vain for here: long enough for a machine that is busy with other things.
LIMIT_S = 10.0

#: The same where nothing is to end: a pause of the broker that all tests share is no fault of the worker's.
STAYS_S = 20.0

OVER = "worker stops: no progress: "


def start(rig: Rig, *patches: str, **options: Any) -> Worker:
    return rig.start(**{"stall_after_s": LIMIT_S, "patches": ("quick_looks", *patches)} | options)


async def readiness(worker: Worker) -> tuple[int, dict[str, str]]:
    """Status and what is missing; (0, {}) while nobody answers."""
    url = f"http://127.0.0.1:{worker.order.settings['KPI_WEB_PORT']}/readyz"
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, (await answer.json())["missing"]
    except (aiohttp.ClientError, OSError):
        return 0, {}


async def ready(worker: Worker) -> None:
    """Return when it does its part."""

    async def probe() -> bool:
        worker.check()
        return (await readiness(worker))[0] == 200

    await until("readiness", probe)


async def told(worker: Worker, what: str) -> None:
    """Return when it has said that it is not ready, and why."""

    async def probe() -> bool:
        worker.check()
        status, missing = await readiness(worker)
        return status == 503 and what in missing.get("progress", "")

    await until(f"{what!r} in /readyz", probe)


def last_word(worker: Worker) -> str:
    """The one line with which it ended."""
    (line,) = [line for line in worker.log.splitlines() if "worker stops: " in line]
    return line


@pytest.mark.parametrize("gone", ["frozen", "killed"])
async def test_a_worker_without_a_broker_is_not_ready_and_ends(
    make_rig: MakeRig, breakable_kafka: EmbeddedKafka, gone: str
) -> None:
    """A broker that says nothing, and one that is gone for good: nothing is waiting to be saved that would fail."""
    rig = await make_rig(brokers=breakable_kafka.bootstrap)
    worker = start(rig)
    await rig.send()
    await rig.exact()
    await ready(worker)
    pid = breakable_kafka.pid
    os.kill(pid, signal.SIGSTOP) if gone == "frozen" else await asyncio.to_thread(breakable_kafka.kill)
    try:
        await told(worker, f"Kafka ({breakable_kafka.bootstrap}) has not answered")
        assert await worker.ended() == EXIT_CODE
    finally:
        if gone == "frozen":
            os.kill(pid, signal.SIGCONT)
    rig.site.workers.remove(worker)
    assert f"{OVER}Kafka ({breakable_kafka.bootstrap}) has not answered for " in last_word(worker)


async def test_a_worker_whose_loop_stands_still_ends_and_says_where(rig: Rig) -> None:
    """The line in the log has the reason, the stack before it the place."""
    worker = start(rig, "the_loop_hangs")
    await ready(worker)
    await rig.send()
    assert await rig.ended(worker) == EXIT_CODE
    assert f"{OVER}the worker's loop has not turned for " in last_word(worker)
    assert "in _fold_batch" in worker.log
    assert "in hang" in worker.log


async def test_a_worker_with_a_fold_that_hangs_ends_and_says_where(rig: Rig) -> None:
    """The loop turns, checkpoints and probes answer; that batch will never be through."""
    worker = start(rig, "a_fold_hangs")
    await ready(worker)
    await rig.send()
    await told(worker, "a batch of partition ")
    assert await rig.ended(worker) == EXIT_CODE
    assert f"{OVER}a batch of partition " in last_word(worker)
    assert "time.sleep(3_600)" in worker.log


async def test_a_worker_whose_interpreter_is_kept_by_one_thread_ends_and_says_where(rig: Rig) -> None:
    """Neither the loop nor the watchdog runs: the kernel ends it, by the time that it computes."""
    worker = start(rig, "a_fold_keeps_the_lock", stall_after_s=LIMIT_S / 2)  # of computing, times the cores
    await ready(worker)
    await rig.send()
    assert await rig.ended(worker) == -signal.SIGPROF
    assert "Current thread" in worker.log
    assert "in <lambda>" in worker.log


async def test_a_worker_that_reads_nothing_of_lines_that_wait_ends(rig: Rig) -> None:
    """All is well as far as it can see, but for the lines."""
    worker = start(rig, "nothing_is_handed_out")
    await ready(worker)
    await rig.send()
    await told(worker, "lines wait in partitions [0, 1, 2], and none was read")
    assert await rig.ended(worker) == EXIT_CODE
    assert f"{OVER}lines wait in partitions [0, 1, 2], and none was read for " in last_word(worker)


async def test_a_worker_waits_for_postgres_for_as_long_as_it_takes(
    make_rig: MakeRig, breakable_postgres: EmbeddedPostgres
) -> None:
    """Lines are folded and saved in Kafka meanwhile; `/readyz` names Postgres, and nothing else."""
    rig = await make_rig(dsn=breakable_postgres.dsn)
    worker = start(rig, stall_after_s=STAYS_S)
    await rig.send()
    await rig.exact()
    await asyncio.to_thread(breakable_postgres.kill)
    for _ in range(4):
        await asyncio.sleep(STAYS_S / 3)  # so long that it would have ended
        await rig.send()
        await rig.checkpointed()
        assert list((await readiness(worker))[1]) == ["postgres"]
    await asyncio.to_thread(breakable_postgres.start)
    await rig.connect()
    await rig.exact()
    await ready(worker)


async def test_a_worker_with_nothing_to_do_stays(make_rig: MakeRig) -> None:
    """No line comes for longer than the limit; one of two workers has not even a partition. Then lines come."""
    rig = await make_rig(partitions=1)
    workers = [start(rig, stall_after_s=STAYS_S), start(rig, stall_after_s=STAYS_S)]
    for worker in workers:
        await ready(worker)
    await rig.send()
    await rig.exact()
    await asyncio.sleep(1.3 * STAYS_S)
    rig.check()
    assert [(await readiness(worker)) for worker in workers] == [(200, {})] * 2
    await rig.send()
    await rig.exact()


async def test_a_worker_that_was_frozen_for_longer_than_the_limit_goes_on(rig: Rig) -> None:
    """It lived through none of that time."""
    worker = start(rig, stall_after_s=STAYS_S, session_s=60.0)
    await rig.send()
    await rig.exact()
    worker.freeze()
    await asyncio.sleep(1.3 * STAYS_S)
    worker.thaw()
    await rig.send()
    await rig.exact()


async def test_a_take_over_that_hangs_ends_the_worker(rig: Rig) -> None:
    """Kafka answers, the partitions are its own, and nothing is read of their state."""
    worker = rig.start(Step("take-over: caught up", "hold"), stall_after_s=LIMIT_S, patches=("quick_looks",))
    await worker.reached("take-over: caught up")
    assert await rig.ended(worker) == EXIT_CODE
    assert f"{OVER}nothing was read of the state of partitions [0, 1, 2] for " in last_word(worker)
