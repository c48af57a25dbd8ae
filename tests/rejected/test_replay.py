"""Replay: each line goes through again once, whatever stops it, on a real broker."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from kpi_app.errors import UserError
from kpi_app.rejected import outgoing, replay
from kpi_app.rejected.outcome import Fate
from kpi_app.rejected.outgoing import Outgoing
from kpi_app.settings import Settings
from kpi_app.stream.kafka import TRANSACTION_TIMEOUT_MS, transactional_producer
from tests.cli.programs import run
from tests.conftest import create_topic
from tests.exactness.workers import LIMIT_S, until
from tests.rejected.stage import CAME_MS, Stage, line, settings, victim

#: Lines that the worker of these tests, told of another format, rejects.
LINES = [line(number) for number in range(8)]
STEPS = ["_begin", "_send_copies", "_send_receipts", "_commit"]


async def rejected(stage: Stage, lines: list[bytes] = LINES) -> None:
    """Have a worker reject lines that could be read, on both partitions."""
    await stage.send(lines[::2], partition=0)
    await stage.send(lines[1::2], partition=1)
    books = await stage.work("combined")
    assert books["rejected"] == books["lines"] == len(lines)


async def once(stage: Stage, lines: list[bytes] = LINES) -> None:
    """Each line was sent through again once, and the books say so."""
    assert Counter(record.value for record in await stage.copies()) == Counter(lines)
    summary = await stage.listed()
    assert [(each.lines, each.replayed) for each in summary.by_reason.values()] == [(len(lines), len(lines))]


async def test_lines_that_can_be_read_now_are_sent_once(stage: Stage) -> None:
    """A second run finds nothing to do."""
    await rejected(stage)
    first, second = await stage.replay(), await stage.replay()
    assert (first.total(Fate.SENT), first.total(*Fate)) == (len(LINES), len(LINES))
    assert not second.by_reason
    await once(stage)


async def test_a_copy_is_the_line_itself(stage: Stage) -> None:
    """Letters are cut and anonymised; what is sent is from the raw topic: same bytes, key, time, headers, partition."""
    long = line(1) + b' "-" "' + b"x" * 9_000 + b'"'
    for partition in (1, 0):
        await stage.send([long], partition=partition, key=b"host", headers=[("own", b"1")])
    await stage.work("common")
    assert (await stage.replay()).total(Fate.SENT) == 2
    for partition in (0, 1):
        original, copy = await stage.raw(partition)
        assert (copy.value, copy.key, copy.timestamp) == (long, b"host", CAME_MS)
        assert (original.value, list(copy.headers)) == (long, [("own", b"1"), ("kpi-replay", b"b1")])


async def test_what_still_can_not_be_read_stays(stage: Stage) -> None:
    """It waits for another fix, and is not sent."""
    await stage.send([*LINES, b"junk", b"\xff", None])
    await stage.work("combined")
    outcome = await stage.replay()
    assert (outcome.total(Fate.SENT), outcome.total(Fate.STILL)) == (len(LINES), 3)
    again = await stage.replay()
    assert (again.total(Fate.SENT), again.total(Fate.STILL)) == (0, 3)
    assert len(await stage.copies()) == len(LINES)


async def test_a_replay_of_one_reason_leaves_the_others(stage: Stage) -> None:
    """They are none of its letters."""
    await rejected(stage)
    assert not (await stage.replay(reason="time")).by_reason
    assert (await stage.replay(reason="format")).total(Fate.SENT) == len(LINES)


async def test_a_line_from_the_future_stays_one(stage: Stage) -> None:
    """Its record keeps its time: that time went by since does not make a wrong clock right."""
    await stage.send([line(1)], timestamp_ms=CAME_MS - 3_600_000)
    assert (await stage.work())["rejected"] == 1
    assert (await stage.replay()).by_reason == {"future": Counter({Fate.STILL: 1})}
    assert (await stage.replay(future_limit=7_200)).total(Fate.SENT) == 1


async def test_a_dry_run_sends_nothing_and_fences_nobody(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what the run would do."""
    await rejected(stage)
    monkeypatch.setattr(replay, "outgoing", None)
    assert (await stage.replay(dry=True)).total(Fate.SENT) == len(LINES)
    assert not await stage.copies()
    monkeypatch.undo()
    assert (await stage.replay()).total(Fate.SENT) == len(LINES)


async def test_the_books_balance_after_a_replay(stage: Stage) -> None:
    """A copy is a new line, and counts; the line itself stays rejected."""
    await rejected(stage)
    await stage.replay()
    await stage.work("combined")  # it rejects the copies, too: letters of their own, another replay
    assert (await stage.replay()).total(Fate.SENT) == len(LINES)
    books = await stage.work()  # as if all had been read by the fixed settings, with the same books
    assert (books["counted"], books["duplicates"]) == (3 * len(LINES), 0)


async def test_other_books_count_a_copy_as_a_duplicate(stage: Stage) -> None:
    """After `kpi reset` the line itself is read anew, and counts where it can be read: once."""
    await rejected(stage)
    await stage.replay()
    books = await stage.work(birth="b2")
    assert (books["lines"], books["counted"], books["duplicates"]) == (2 * len(LINES), len(LINES), len(LINES))


async def test_copies_in_both_partitions_alone_in_a_batch_move_nothing(stage: Stage) -> None:
    """A batch of nothing but copies of others folds to no window."""
    await stage.send([line(1)], headers=[("kpi-replay", b"other")])
    books = await stage.work()
    assert (books["lines"], books["duplicates"]) == (1, 1)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_replay_has_sent_nothing_twice(stage: Stage, step: str, when: str, tmp_path: Path) -> None:
    """The next run goes on where it was, without waiting for its transaction to time out."""
    await rejected(stage)
    done = await asyncio.to_thread(run, victim(step, when, "SIGKILL", 2), tmp_path, settings(stage))
    assert done.code == -9
    sent = 6 if (step, when) == ("_commit", "after") else 3
    async with asyncio.timeout(LIMIT_S):  # the broker would take minutes, see victim.py
        assert (await stage.replay()).total(Fate.SENT) == len(LINES) - sent
    await once(stage)


@pytest.mark.parametrize("step", STEPS)
async def test_the_later_one_of_two_replays_wins(stage: Stage, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The earlier one is fenced, says so, and nothing of its transaction is there."""
    await rejected(stage)
    go_on = asyncio.Event()
    earlier = await stage.held_replay(step, go_on, monkeypatch)
    later = await stage.replay()
    go_on.set()
    with pytest.raises(UserError, match="another `kpi rejected --replay` has begun, or Kafka ended this one's"):
        await earlier
    assert later.total(Fate.SENT) == len(LINES)
    await once(stage)


async def test_what_another_sent_before_the_fence_is_seen(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the fence, then the look: the other way round there would be a gap for another to send in."""
    await rejected(stage)

    @asynccontextmanager
    async def after_another(settings: Settings) -> AsyncIterator[Outgoing]:
        monkeypatch.undo()
        await stage.replay()
        async with outgoing.outgoing(settings) as made:
            yield made

    monkeypatch.setattr(replay, "outgoing", after_another)
    assert not (await stage.replay()).by_reason
    await once(stage)


async def test_receipts_behind_an_open_transaction_are_waited_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's transaction hides what was committed behind its beginning: who looked no further would send twice."""
    await rejected(stage)
    worker = transactional_producer(stage.settings, "a-worker")
    async with worker:
        await worker.begin_transaction()
        begin = Outgoing._begin

        async def behind_the_worker(self: Outgoing) -> None:
            for number in range(2):
                await worker.send_and_wait(stage.names.rejected, b"{}", partition=number)
            await begin(self)

        with monkeypatch.context() as patch:
            patch.setattr(Outgoing, "_begin", behind_the_worker)
            await stage.replay()
        heard = list[int]()
        second = replay.Replay(stage.settings, None, False)
        task = asyncio.create_task(second.run(lambda done, total: heard.append(done)))
        await until("reads up to the open transaction", lambda: _told(heard))
        await worker.commit_transaction()
        await task
    assert not second.outcome.by_reason
    await once(stage)


async def _told(heard: list[int]) -> bool:
    return len(heard) >= 2


async def test_a_cancelled_replay_ends_its_transaction(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C waits for what is under way, and what was sent is told."""
    await rejected(stage)
    stopped, go_on = asyncio.Event(), asyncio.Event()
    original = Outgoing._send_receipts

    async def paused(self: Outgoing, *arguments: Any) -> None:
        stopped.set()
        await go_on.wait()
        await original(self, *arguments)

    monkeypatch.setattr(Outgoing, "_send_receipts", paused)
    run = replay.Replay(stage.settings, None, False)
    task = asyncio.create_task(run.run(lambda done, total: None))
    await stopped.wait()
    task.cancel()
    asyncio.get_running_loop().call_soon(go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert run.outcome.total(Fate.SENT) == len(LINES)
    await once(stage)


async def test_a_transaction_that_fails_is_ended_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers read no further than where an open one begins: none is left behind."""
    await rejected(stage)
    monkeypatch.setattr("kpi_app.stream.kafka.TRANSACTION_TIMEOUT_MS", 600_000)

    async def failing(*_: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(Outgoing, "_send_receipts", failing)
        with pytest.raises(RuntimeError):
            await stage.replay()
    async with asyncio.timeout(LIMIT_S):  # the broker would take minutes
        assert not await stage.copies()
    await stage.replay()
    await once(stage)


async def test_lines_that_the_raw_topic_no_longer_has_are_told(stage: Stage) -> None:
    """A letter is not the line: it stays."""
    await stage.send(LINES)
    await stage.work("combined")
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.settings.brokers)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(stage.names.raw, 0): RecordsToDelete(before_offset=5)})
    finally:
        await admin.close()
    outcome = await stage.replay()
    assert (outcome.total(Fate.SENT), outcome.total(Fate.GONE)) == (3, 5)
    assert [record.value for record in await stage.copies()] == LINES[5:]


async def test_lines_of_a_topic_made_anew_are_not_taken_for_others(stage: Stage) -> None:
    """What is at the same place now may be counted already."""
    await rejected(stage)
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.settings.brokers)
    await admin.start()
    try:
        await admin.delete_topics([stage.names.raw])

        async def gone() -> bool:
            return stage.names.raw not in await admin.list_topics()

        await until("the topic is gone", gone)
        await create_topic(admin, stage.names.raw, 1)
    finally:
        await admin.close()
    await stage.send([b"another", b"more", LINES[4]])
    outcome = await stage.replay()
    # of the first partition: two are others, one is where it was, one is past the end; the second is no more
    assert outcome.by_reason["format"] == Counter({Fate.OTHER: 2, Fate.SENT: 1, Fate.GONE: 5})


async def test_many_lots_and_far_lines(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters far from each other, in transactions of a few lines."""
    monkeypatch.setattr(replay, "_MOST_LINES", 3)
    monkeypatch.setattr(replay, "_TOGETHER", 4)
    monkeypatch.setattr("kpi_app.rejected.originals._NEAR", 2)
    mixed = [some for value in LINES for some in (*[line(99) + b' "-" "-"'] * 5, value)]
    await stage.send(mixed)
    await stage.work("combined")
    assert (await stage.replay()).total(Fate.SENT) == len(LINES)
    await once(stage)


def test_a_transaction_is_given_up_before_kafka_ends_it() -> None:
    """Else who waited for a slow broker would hear of another replay."""
    assert (outgoing.ANSWER_S + outgoing.ABORT_S) * 1_000 < TRANSACTION_TIMEOUT_MS


async def test_a_broker_that_goes_away_is_told_in_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for without end, and nothing is lost by it."""
    await rejected(stage)
    monkeypatch.setattr(outgoing, "ANSWER_S", 0.5)

    async def hanging(self: Outgoing) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(Outgoing, "_commit", hanging)
        with pytest.raises(UserError, match="no answer from Kafka in"):
            await stage.replay()
    monkeypatch.undo()
    await stage.replay()
    await once(stage)
