"""Lines that come few at a time are taken together; the clock is a stand-in."""

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from kpi_app.stream.bend import Batch, Records, gather
from kpi_app.stream.bend.consumer import BatchConsumer
from kpi_app.stream.bend.gather import ENOUGH, GATHER_S, Gather


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now_s = [1_000.0]
    monkeypatch.setattr(gather, "monotonic", lambda: now_s[0])
    return now_s


async def is_time(subject: Gather, suspended: bool = False) -> bool:
    """Whether nothing is waited for now."""
    event = asyncio.Event()
    if suspended:
        event.set()
    return await at_once(subject.wait(event))


async def at_once(doing: Coroutine[Any, Any, None]) -> bool:
    """Whether it is done without waiting for anything."""
    task = asyncio.create_task(doing)
    for _ in range(5):
        await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    await asyncio.wait([task])
    return done


async def test_after_a_few_lines_others_may_gather(clock: list[float]) -> None:
    """The first ones are taken at once, and so is what comes after a while."""
    subject = Gather()
    assert await is_time(subject)
    subject.taken(1, waiting=0)
    assert not await is_time(subject)
    clock[0] += GATHER_S
    assert await is_time(subject)


async def test_a_fetch_that_finds_nothing_is_not_waited_for(clock: list[float]) -> None:
    """It has waited itself; a marker behind the last line is nothing to wait for."""
    subject = Gather()
    for waiting in (0, 1):
        subject.taken(0, waiting)
        assert await is_time(subject)


@pytest.mark.parametrize(("lines", "waiting"), [(ENOUGH, 0), (1, ENOUGH - 1)])
async def test_a_worker_that_is_behind_does_not_wait(clock: list[float], lines: int, waiting: int) -> None:
    """Whether it took many lines, or the rest of some while there are many more."""
    subject = Gather()
    subject.taken(lines, waiting)
    assert await is_time(subject)
    subject.taken(1, ENOUGH - 2)
    assert not await is_time(subject)


async def test_a_rebalance_does_not_wait(clock: list[float]) -> None:
    """Partitions that are given up, or a worker that ends."""
    subject = Gather()
    subject.taken(1, waiting=0)
    assert await is_time(subject, suspended=True)


async def test_after_a_seek_nothing_is_waited_for(clock: list[float]) -> None:
    """What comes next has nothing to do with what was taken."""
    subject = Gather()
    subject.taken(1, waiting=0)
    subject.anew()
    assert await is_time(subject)


async def test_what_gathers_is_taken_in_time() -> None:
    """By the real clock: no event ever comes, and the wait ends."""
    subject = Gather()
    subject.taken(1, waiting=0)
    async with asyncio.timeout(60 * GATHER_S):
        await subject.wait(asyncio.Event())


class _Fetched(BatchConsumer):
    """A consumer of which each fetch brings a line, of so many."""

    def __init__(self, waiting: int) -> None:
        self._gather, self.suspend_flow, self._thread = Gather(), asyncio.Event(), SimpleNamespace(waiting=waiting)

    async def fetch(self) -> None:
        await self._wait_next_records(1.0)


@pytest.mark.usefixtures("clock")
async def test_the_consumer_waits_for_lines_to_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless its thread knows of many more, or the flow is suspended."""

    async def one_line(*_: object) -> tuple[dict[str, Batch], None]:
        return {"lines/0": Batch(0, Records([0]))}, None

    monkeypatch.setattr(BatchConsumer.__base__, "_wait_next_records", one_line)
    subject, behind = _Fetched(waiting=0), _Fetched(waiting=ENOUGH)
    assert await at_once(subject.fetch())
    assert not await at_once(subject.fetch())
    subject.suspend_flow.set()
    assert await at_once(subject.fetch())
    for _ in range(2):
        assert await at_once(behind.fetch())
