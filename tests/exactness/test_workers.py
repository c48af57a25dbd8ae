"""Workers come, go, die and freeze while the log flows: no number changes."""

from typing import Any

import pytest
from aiokafka.admin import NewPartitions

from kpi_app.stream.bend.stop import EXIT_CODE
from tests.exactness.conftest import MakeRig
from tests.exactness.orders import ENDED, Step
from tests.exactness.points import GIVE_UP
from tests.exactness.rig import Rig

#: Reached when a worker has partitions and counts their lines.
FOLDS = "take-over: first lines folded"

ARRIVES, GIVES_UP, BEGINS = "fold: batch arrives", "give-up: last checkpoints taken", "checkpoint: begun"


async def test_three_workers_count_seven_partitions_of_a_log_that_is_faster_than_they_are(make_rig: MakeRig) -> None:
    """Three workers share seven partitions and catch up with a log that was sent at once."""
    rig = await make_rig(partitions=7)
    await rig.send(rig.site.source.lot(per_partition=2_000, windows=40))
    workers = [rig.start(Step(FOLDS, "note")) for _ in range(3)]
    async with rig.flowing():
        for worker in workers:
            await worker.reached(FOLDS)
    await rig.exact()


@pytest.mark.parametrize("same_disk", [True, False], ids=["same disk", "empty disk"])
async def test_a_worker_killed_in_the_middle_is_replaced(rig: Rig, same_disk: bool) -> None:
    """`kill -9` of a worker that counts, and a new one, leave every number right."""
    worker = rig.start(Step("flush: known to the state", "note"))
    async with rig.flowing():
        await worker.reached("flush: known to the state")
        await rig.kill(worker)
        successor = rig.start(Step("flush: known to the state", "note"), disk=worker.order.disk if same_disk else None)
        await successor.reached("flush: known to the state")
    await rig.exact()


async def test_a_worker_that_comes_back_goes_on_where_it_was(rig: Rig) -> None:
    """Within its session, from the same directory: it has its partitions at once, and the others notice nothing.

    It leads the group, and has forgotten that: partitions that are added then are counted all the same.
    """
    patient: dict[str, Any] = {"session_s": 30.0, "metadata_age_s": 0.5}
    leader = rig.start(Step(FOLDS, "note"), **patient)
    async with rig.flowing():
        await leader.reached(FOLDS)
        other = rig.start(Step(FOLDS, "note"), **patient)
        await other.reached(FOLDS)
        await leader.arm(Step(FOLDS, "note"))
        await leader.reached(FOLDS)
        takeovers = other.log.count("took over")
        for stage in ("killed", "ended by itself"):
            if stage == "killed":
                await rig.kill(leader)
            else:
                await leader.arm(Step(ARRIVES))
                assert await rig.ended(leader) == ENDED
            leader = rig.start(Step(FOLDS, "note"), disk=leader.order.disk, **patient)
            await leader.reached(FOLDS)
            assert other.log.count("took over") == takeovers
    await rig.exact()
    await rig.admin.create_partitions({rig.site.topic: NewPartitions(total_count=9)})
    rig.site.source.partitions = 9
    await rig.producer.client.force_metadata_update()
    await rig.send()
    await rig.exact()


async def test_a_worker_that_comes_back_under_another_url_has_another_place(rig: Rig) -> None:
    """It waits for the end of its old session, as on an empty disk; its old assignment would be another worker's."""
    worker = rig.start(Step(FOLDS, "note"))
    async with rig.flowing():
        await worker.reached(FOLDS)
        rig.site.workers.remove(worker)
        worker.kill()
        renamed = {"NODE_CANONICAL_URL": "http://another.example:6066"}
        successor = rig.start(Step(FOLDS, "note"), disk=worker.order.disk, environment=renamed)
        await successor.reached(FOLDS)
    await rig.exact()


async def test_a_second_worker_in_a_directory_is_refused_and_disturbs_nobody(rig: Rig) -> None:
    """It ends before it joins: the place would be its own, and the first be fenced."""
    first = rig.start(Step(FOLDS, "note"))
    async with rig.flowing():
        await first.reached(FOLDS)
        members = await rig.members()
        second = rig.start(disk=first.order.disk, environment={"KPI_WEB_HOST": "127.0.0.2"})
        assert await rig.ended(second) == 1
        assert "another worker uses" in second.log
        assert await rig.members() == members
    await rig.exact()


async def test_workers_with_equal_urls_come_to_rest(rig: Rig) -> None:
    """Two hosts with the default address: each joins once more at most, not at every look at the topic."""
    options: dict[str, Any] = {"environment": {"NODE_CANONICAL_URL": "http://127.0.0.1:6066"}, "metadata_age_s": 0.2}
    flushes = [Step("flush: known to the state", "note")] * 20
    workers = [rig.start(*flushes, **options) for _ in range(2)]
    async with rig.flowing():
        for _ in flushes:
            for worker in workers:
                await worker.reached("flush: known to the state")
    await rig.exact()
    joins = sum(worker.log.count("Joined group") for worker in workers)
    assert joins <= 3 * 4, "both at each start and at each question, and some were cut short by the next"


async def test_a_second_worker_joins_and_leaves_under_load(rig: Rig) -> None:
    """A worker that joins takes partitions over, and one that is stopped gives them back, while lines flow.

    It leaves the group then: nobody has to wait for the end of its session.
    """
    first = rig.start(Step(FOLDS, "note"), session_s=30.0)
    async with rig.flowing():
        await first.reached(FOLDS)
        second = rig.start(Step(FOLDS, "note"), session_s=30.0)
        await second.reached(FOLDS)
        await first.arm(Step(FOLDS, "note"))
        second.stop()
        assert await rig.ended(second) == 0
        assert len(await rig.members()) == 1
        await first.reached(FOLDS)
    await rig.exact()


async def test_a_stopped_worker_leaves_nothing_to_do(rig: Rig) -> None:
    """An orderly stop brings everything that was folded to its rows."""
    worker = rig.start()
    await rig.send()
    await rig.checkpointed()
    worker.stop()
    assert await rig.ended(worker) == 0
    await rig.exact()


@pytest.mark.parametrize("point", [point.name for point in GIVE_UP])
async def test_an_end_while_partitions_are_given_up_changes_no_number(rig: Rig, point: str) -> None:
    """A worker that ends while another joins leaves all partitions to that one."""
    first = rig.start(Step(FOLDS, "note"), Step(point), session_s=1.0)
    async with rig.flowing():
        await first.reached(FOLDS)
        second = rig.start(Step(FOLDS, "note"))
        assert await rig.ended(first) == ENDED
        await second.reached(FOLDS)
    await rig.exact()


@pytest.mark.parametrize("point", ["checkpoint: begun", "checkpoint: books sent"])
async def test_a_zombie_that_still_has_to_commit_ends_itself(rig: Rig, point: str) -> None:
    """A worker frozen past its session, whose partitions another has taken over, is refused and ends."""
    zombie = rig.start(Step(FOLDS, "note"), Step(point, "freeze"), session_s=1.0)
    async with rig.flowing():
        await zombie.reached(FOLDS)
        await zombie.reached(point)
        successor = rig.start(Step(FOLDS, "note"))
        await successor.reached(FOLDS)
        zombie.thaw()
        assert await rig.ended(zombie) == EXIT_CODE
    await rig.exact()


@pytest.mark.parametrize(
    "point", ["checkpoint: committed", "flush: segments written", "merge: marks taken", "take-over: caught up"]
)
async def test_a_zombie_changes_no_number(rig: Rig, point: str) -> None:
    """A worker frozen past its session anywhere else ends itself or joins again; both are right."""
    zombie = rig.start(Step(point, "freeze"), session_s=1.0)
    async with rig.flowing():
        await zombie.reached(point)
        successor = rig.start(Step(FOLDS, "note"))
        await successor.reached(FOLDS)
        zombie.thaw()
        rig.may_end(zombie, EXIT_CODE)
        await successor.arm(Step("flush: known to the state", "note"))
        await successor.reached("flush: known to the state")
    await rig.exact()


async def test_a_flush_that_waits_while_its_partition_is_given_up_is_left_to_the_next_owner(rig: Rig) -> None:
    """Flushes that wait for their turn during a rebalance do no harm to the worker."""
    about_to_flush = Step("flush: about to begin", "hold")
    first = rig.start(about_to_flush, about_to_flush, patches=("one_flush_at_a_time",))
    await rig.send()
    await first.reached("flush: about to begin")
    await rig.checkpointed()
    await first.let_go("flush: about to begin")
    await first.reached("flush: about to begin")  # with another partition waiting behind it
    second = rig.start(Step("take-over: sought", "note"))
    await second.reached("take-over: sought")
    await first.let_go("flush: about to begin")
    await rig.send()
    await rig.exact()


async def test_a_checkpoint_under_way_is_done_before_its_partition_is_let_go(rig: Rig) -> None:
    """A checkpoint that begins while its partition is being given up does no harm to the worker.

    batch        arrives ──────────────▶ folded · checkpoint begun ────▶ done
    partition    ───── last checkpoint taken ────────────────▶ let go
    """
    first = rig.start(Step(FOLDS, "note"))
    await rig.send()
    await first.reached(FOLDS)
    await rig.exact()
    await first.arm(*(Step(point, "hold") for point in (ARRIVES, GIVES_UP, BEGINS)))
    await rig.send()
    await first.reached(ARRIVES)
    rig.start()
    await first.reached(GIVES_UP)
    await first.let_go(ARRIVES)
    await first.reached(BEGINS)
    await first.let_go(GIVES_UP)
    await first.let_go(BEGINS)
    await rig.exact()


@pytest.mark.parametrize("partitions", [1, 64])
async def test_any_number_of_partitions(make_rig: MakeRig, partitions: int) -> None:
    """One partition or as many as are supported: all are counted, also after a start on an empty disk."""
    rig = await make_rig(partitions=partitions)
    worker = rig.start()
    await rig.send()
    await rig.exact()
    await rig.kill(worker)
    rig.start()
    await rig.send()
    await rig.exact()
