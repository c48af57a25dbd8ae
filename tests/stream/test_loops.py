"""The loops: what they must not leave half done."""

import asyncio
from typing import Any, cast

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


async def test_the_last_merge_waits_for_the_one_under_way() -> None:
    """A merge passes over what another has in hand: who closes the sink after it would cut that one off."""
    sink = OneAtATime()
    loops = Loops(cast(Any, None), cast(Sink, sink), cast(Any, None), 0.001, 1, Metrics())
    async with asyncio.timeout(10), asyncio.TaskGroup() as both:
        both.create_task(loops.merge())
        await sink.began.wait()
        last = both.create_task(loops.merge_all())
        done, _ = await asyncio.wait([last], timeout=0.05)
        assert not done
        sink.may_end.set()
