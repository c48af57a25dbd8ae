"""A worker that ends between any two steps, and starts again, changes no number.

Each test ends the worker that the one before it has left running: a start for each end. All tests work on one
topic and database, and compare all of it; after a failure the next one begins on new ones.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.exactness.conftest import Sites
from tests.exactness.orders import ENDED, Step
from tests.exactness.points import CHECKPOINT, FLUSH, MERGE, STOP, TAKE_OVER, Point
from tests.exactness.rig import Rig, Site, opened
from tests.exactness.workers import Worker

on_both_disks = pytest.mark.parametrize("same_disk", [True, False], ids=["same disk", "empty disk"])


def ending_at(*points: Point) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("point", [point.name for point in points])


class Chain:
    """Hands a site and its running worker from test to test."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._site: Site | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Rig, Worker]]:
        """A rig and the worker that runs on it: those of the test before, unless that failed."""
        site, self._site = self._site or await self._sites.make(), None
        try:
            async with opened(site) as rig:
                if not site.workers:
                    rig.start()
                    await rig.send()
                    await rig.exact()
                yield rig, site.workers[0]
        except BaseException:
            await self._sites.remove(site)
            raise
        self._site = site

    async def end(self) -> None:
        """Remove what the last test has left."""
        if self._site is not None:
            await self._sites.remove(self._site)


@pytest.fixture(scope="module")
def chain(sites: Sites) -> Iterator[Chain]:
    chain = Chain(sites)
    yield chain
    asyncio.run(chain.end())


def start_again(rig: Rig, ended: Worker, same_disk: bool, *script: Step) -> Worker:
    return rig.start(*script, disk=ended.order.disk if same_disk else None)


@ending_at(*CHECKPOINT, *FLUSH, *MERGE)
@on_both_disks
async def test_an_end_at_any_step_of_the_way_changes_no_number(chain: Chain, point: str, same_disk: bool) -> None:
    """A worker that ends at any step from the fold to the rows, and starts again, leaves every number right."""
    async with chain.running() as (rig, worker):
        await worker.arm(Step(point))
        await rig.send()
        assert await rig.ended(worker) == ENDED
        start_again(rig, worker, same_disk)
        await rig.exact()


@ending_at(*TAKE_OVER)
@on_both_disks
async def test_an_end_during_a_take_over_changes_no_number(chain: Chain, point: str, same_disk: bool) -> None:
    """A worker that ends while it takes partitions over leaves everything for the next take-over."""
    async with chain.running() as (rig, worker):
        await worker.arm(Step("checkpoint: committed"))  # so that there is something to catch up with on any disk
        await rig.send()
        assert await rig.ended(worker) == ENDED
        await rig.send()
        second = start_again(rig, worker, same_disk, Step(point))
        assert await rig.ended(second) == ENDED
        start_again(rig, second, same_disk)
        await rig.exact()


@ending_at(*STOP)
@on_both_disks
async def test_an_end_during_an_orderly_stop_changes_no_number(chain: Chain, point: str, same_disk: bool) -> None:
    """A worker that is killed while it stops leaves every number right."""
    async with chain.running() as (rig, worker):
        await worker.arm(Step(point))
        await rig.send()
        worker.stop()
        assert await rig.ended(worker) == ENDED
        start_again(rig, worker, same_disk)
        await rig.exact()
