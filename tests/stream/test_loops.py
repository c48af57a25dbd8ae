"""The loops: what they must not leave half done."""

import asyncio
from typing import Any, cast

import pytest

from kpi_app.sinks.base import Sink
from kpi_app.stream.loops import Loops
from kpi_app.stream.metrics import Metrics


class OneAtATime:
    """A sink with one thing to merge, which takes until the test says so."""

    def __init__(self) -> None:
        self.left = 1
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()

    async def merge(self) -> int:
        taken, self.left = self.left, 0
        if taken:
            self.began.set()
            await self.may_end.wait()
        return taken


class Counted:
    """A sink with two bunches of windows to merge."""

    def __init__(self) -> None:
        self.merges = 0
        self.began = asyncio.Event()

    async def merge(self) -> int:
        self.merges += 1
        self.began.set()
        return int(self.merges < 3)


async def test_merges_leave_time_to_lines_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one begins when no lines are being folded, however long that takes within its limit."""
    monkeypatch.setattr("kpi_app.stream.loops.YIELD", 1e9)
    sink, calm = Counted(), asyncio.Event()
    loops = Loops(cast(Any, None), cast(Sink, sink), cast(Any, None), calm, 0.001, 1, Metrics())
    async with asyncio.timeout(10), asyncio.TaskGroup() as both:
        merging = both.create_task(loops.merge())
        await sink.began.wait()
        done, _ = await asyncio.wait([merging], timeout=0.05)
        assert (sink.merges, bool(done)) == (1, False)
        calm.set()
    assert sink.merges == 3


async def test_the_last_merge_waits_for_the_one_under_way() -> None:
    """A merge passes over what another has in hand: who closes the sink after it would cut that one off."""
    sink = OneAtATime()
    loops = Loops(cast(Any, None), cast(Sink, sink), cast(Any, None), asyncio.Event(), 0.001, 1, Metrics())
    async with asyncio.timeout(10), asyncio.TaskGroup() as both:
        both.create_task(loops.merge())
        await sink.began.wait()
        last = both.create_task(loops.merge_all())
        done, _ = await asyncio.wait([last], timeout=0.05)
        assert not done
        sink.may_end.set()
