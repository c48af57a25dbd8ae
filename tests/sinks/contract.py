"""The contract: what every sink does, whatever it writes to.

A new sink subclasses `SinkContract` and provides the fixture `store`, which makes sinks on one store and looks at it
as `tests.sinks.store.Store` does.
"""

import asyncio
from dataclasses import replace

import pytest

from kpi_app.errors import StopWorker, UserError
from kpi_app.feeds.access import ACCESS
from tests.sinks.owner import TOPIC, Owner
from tests.sinks.store import Store, at, settle


class SinkContract:
    """The shared tests of sinks."""

    async def test_row_holds_what_its_lines_add_up_to(self, store: Store) -> None:
        """A row says of its window what the lines in it say, whichever partition they came from."""
        sink = await store.sink()
        await sink.flush(Owner(0).read(1, 1.5, 2, 59.9, 60).checkpoint())
        await sink.flush(Owner(1).read(1.7, 30).checkpoint())
        await settle(sink)
        rows = await store.rows()
        assert list(rows) == [0, 60]
        row = rows[0]
        assert (row["requests"], row["status_2xx"], row["bytes_sent"]) == (6, 6, 60)
        assert row["requests_per_second"] == 6 / 60
        assert row["peak_requests_per_second"] == 3  # 1, 1.5 and the other partition's 1.7
        assert (row["first_event"], row["last_event"]) == (at(1), at(59.9))
        assert (row["window_seconds"], row["closed"], row["revision"]) == (60, False, 0)

    async def test_flush_returns_the_greatest_offset_held(self, store: Store) -> None:
        """The answer to a flush is what may be dropped."""
        sink, owner = await store.sink(), Owner()
        old = owner.read(1).checkpoint()
        assert await sink.flush(old) == 0
        assert await sink.flush(owner.read(2, 3).checkpoint()) == 2
        assert await sink.flush(old) == 2

    async def test_writing_a_flush_twice_leaves_one_row(self, store: Store) -> None:
        """A flush whose answer was lost may be sent again."""
        sink = await store.sink()
        flush = Owner().read(1, 2).checkpoint()
        assert await sink.flush(flush) == await sink.flush(flush) == 1
        await settle(sink)
        assert [row["requests"] for row in (await store.rows()).values()] == [2]
        assert await store.differences() == []

    async def test_older_checkpoint_changes_nothing(self, store: Store) -> None:
        """Who comes late with an old checkpoint is told so, and writes nothing."""
        sink, owner = await store.sink(), Owner()
        old = owner.read(1).checkpoint(idle=True)
        await sink.flush(owner.read(2, 3).checkpoint())
        await settle(sink)
        before = await store.eye.fetch("SELECT * FROM ingest_ledger")
        assert await sink.flush(old) == 2
        assert await sink.merge() == 0
        assert await store.eye.fetch("SELECT * FROM ingest_ledger") == before
        assert (await store.rows())[0]["requests"] == 3

    async def test_later_checkpoint_of_another_owner_wins(self, store: Store) -> None:
        """A successor brings what it has read again and what its predecessor had not."""
        first, second = await store.sink(), await store.sink()
        await first.flush(Owner().read(1, 2).checkpoint())
        successor = Owner().read(1).read(2, 61)
        assert await second.flush(successor.checkpoint()) == 2
        await settle(first, second)
        assert {start: row["requests"] for start, row in (await store.rows()).items()} == {0: 2, 60: 1}
        assert await store.differences() == []

    async def test_two_sinks_flushing_a_partition_at_once_agree(self, store: Store) -> None:
        """Whichever of two owners comes first, every line is counted once."""
        sinks = [await store.sink(), await store.sink()]
        often, seldom = owners = Owner(), Owner()
        for time_s in range(0, 300, 5):
            often.read(time_s)
            if time_s % 3 == 0:
                seldom.read(*range(5 * seldom.state.ledger.lines, time_s + 1, 5))  # the same lines, in larger batches
            flushes = [sink.flush(owner.checkpoint()) for sink, owner in zip(sinks, owners, strict=True)]
            await asyncio.gather(*flushes, sinks[time_s % 2].merge())
            assert await store.differences() == []
        await settle(*sinks)
        assert [row["requests"] for row in (await store.rows()).values()] == [12] * 5

    async def test_window_closes_when_the_last_partition_passes_it(self, store: Store) -> None:
        """A window is open as long as a partition's watermark is before its end and the grace."""
        # [0-----60) + grace = 120
        #    p0 ........ 119.9 .. 120
        #    p1 ............................. 500
        sink, slow, fast = await store.sink(), Owner(0), Owner(1)
        await sink.expect(TOPIC, 2)
        await sink.flush(slow.read(1, 119.9).checkpoint())
        await settle(sink)
        assert not (await store.rows())[0]["closed"]
        await sink.flush(fast.read(500).checkpoint())
        await settle(sink)
        assert not (await store.rows())[0]["closed"]
        await sink.flush(slow.read(120).checkpoint())  # no line of the window itself
        await settle(sink)
        rows = await store.rows()
        assert [start for start in rows if rows[start]["closed"]] == [0]
        assert rows[0]["revision"] == 0

    async def test_partition_that_was_never_read_holds_windows_open(self, store: Store) -> None:
        """A partition counts as soon as it is known to exist."""
        sink = await store.sink()
        await sink.expect(TOPIC, 2)
        await sink.flush(Owner(0).read(1, 500).checkpoint())
        await settle(sink)
        assert not (await store.rows())[0]["closed"]

    async def test_expecting_partitions_again_changes_nothing(self, store: Store) -> None:
        """Each worker says how many partitions there are, at any time."""
        sink = await store.sink()
        await sink.expect(TOPIC, 1)
        await sink.flush(Owner(0).read(1).checkpoint())
        await sink.expect(TOPIC, 3)
        assert [await store.next_offset(partition) for partition in range(3)] == [1, 0, 0]

    async def test_idle_partition_holds_no_window_open(self, store: Store) -> None:
        """A partition that has nothing more to bring is past everything before the clock."""
        sink, silent, busy = await store.sink(), Owner(0), Owner(1)
        await sink.flush(silent.checkpoint(idle=True))  # it never had a line
        await sink.flush(busy.read(1, 500).checkpoint())
        await settle(sink)
        rows = await store.rows()
        assert {start: row["closed"] for start, row in rows.items()} == {0: True, 480: False}

    async def test_idleness_changes_at_the_same_offset(self, store: Store) -> None:
        """A partition becomes idle, and stops being so, without a line."""
        sink, owner = await store.sink(), Owner()
        await sink.flush(owner.read(1).checkpoint())
        await sink.flush(owner.checkpoint(idle=True))
        await sink.flush(owner.checkpoint(idle=False))
        await settle(sink)
        assert not (await store.rows())[0]["closed"]
        await sink.flush(owner.checkpoint(idle=True))
        await settle(sink)
        assert (await store.rows())[0]["closed"]

    async def test_idleness_expires_with_its_lease(self, store: Store) -> None:
        """The partition of a dead owner holds its windows open: it may have lines that nobody reads."""
        sink = await store.sink(lease_s=0)
        await sink.flush(Owner().read(1).checkpoint(idle=True))
        await settle(sink)
        assert not (await store.rows())[0]["closed"]

    async def test_closed_window_stays_closed(self, store: Store) -> None:
        """Closed never reverts, even when a partition turns up that has not passed the window."""
        sink = await store.sink()
        await sink.flush(Owner(0).read(1, 120).checkpoint())
        await settle(sink)
        await sink.expect(TOPIC, 2)
        await sink.flush(Owner(1).read(2).checkpoint())
        await settle(sink)
        row = (await store.rows())[0]
        assert (row["closed"], row["requests"], row["revision"]) == (True, 2, 1)

    async def test_correction_of_a_closed_window_is_a_revision(self, store: Store) -> None:
        """What comes after closing is counted, and each published change says so."""
        sink, owner = await store.sink(), Owner()
        for _ in range(3):
            await sink.flush(owner.read(1, 2).checkpoint())
            await settle(sink)
        assert (await store.rows())[0]["revision"] == 0
        await sink.flush(owner.read(120).checkpoint())
        await settle(sink)
        assert (await store.rows())[0]["revision"] == 0
        for revision in (1, 2):
            await sink.flush(owner.read(3, 4).checkpoint())
            await settle(sink)
            row = (await store.rows())[0]
            assert (row["revision"], row["requests"], row["late_requests"]) == (
                revision,
                6 + 2 * revision,
                2 * revision,
            )

    async def test_only_rows_that_changed_are_written(self, store: Store) -> None:
        """A window that is merged again to the same values keeps its revision and the time it was written."""
        sink, owner = await store.sink(), Owner()
        await sink.flush(owner.read(1, 120).checkpoint())
        await settle(sink)
        before = (await store.rows())[0]
        again = owner.checkpoint().since(-1)
        await sink.flush(replace(owner.read(121).checkpoint(), since=lambda _: again))
        await settle(sink)
        assert (await store.rows())[0] == before

    async def test_merge_comes_to_an_end(self, store: Store) -> None:
        """When all is merged and closed as far as it can be, merge looks at nothing."""
        sink = await store.sink()
        await sink.expect(TOPIC, 2)
        await sink.flush(Owner(0).read(*range(0, 50_000, 60)).checkpoint())
        await settle(sink)
        assert await sink.merge() == 0
        await sink.flush(Owner(1).read(50_000).checkpoint())
        await settle(sink)
        rows = await store.rows()
        assert [start for start, row in rows.items() if not row["closed"]] == [49_920, 49_980]

    async def test_sink_that_was_set_back_behind_what_was_dropped_stops_the_worker(self, store: Store) -> None:
        """What the state has dropped and the store has lost is gone: going on would lose lines in silence."""
        sink, owner = await store.sink(), Owner()
        with pytest.raises(StopWorker, match=r"offset -1.* 7.* 5.*kpi reset"):
            await sink.flush(replace(owner.read(1).checkpoint(), flushed=7, dropped=5))
        assert await store.rows() == {}

    async def test_sink_that_was_set_back_takes_what_it_lacks_from_there_on(self, store: Store) -> None:
        """It says where it stands, and takes nothing that would leave a hole."""
        sink, owner = await store.sink(), Owner()
        await sink.flush(owner.read(1).checkpoint())
        flush = owner.read(2, 3).checkpoint()
        assert await sink.flush(replace(flush, flushed=1)) == 0
        assert await store.next_offset(0) == 1
        assert await sink.flush(replace(flush, flushed=0)) == 2
        await settle(sink)
        assert [row["requests"] for row in (await store.rows()).values()] == [3]
        assert await store.differences() == []

    async def test_state_that_was_set_back_stops_the_worker(self, store: Store) -> None:
        """Books with fewer lines at a greater offset are of a state that began anew: its lines are there already."""
        sink = await store.sink()
        await sink.flush(Owner().read(1, 2).checkpoint())
        await settle(sink)
        before = await store.rows()
        anew = Owner()
        anew.state.skip(5, 5)
        with pytest.raises(StopWorker, match=r"1 lines up to offset 5, Postgres 2 up to 1.*kpi reset"):
            await sink.flush(anew.read(1).checkpoint())
        await settle(sink)
        assert await store.rows() == before

    @pytest.mark.parametrize(
        ("change", "named"),
        [({"topic": "other"}, ("other", TOPIC)), ({"window_s": 10}, ("10s", "1m"))],
        ids=["topic", "window"],
    )
    async def test_state_of_other_settings_is_not_continued(
        self, store: Store, change: dict[str, object], named: tuple[str, str]
    ) -> None:
        """A worker with another topic or base window is told both values and the way out."""
        await store.sink()
        with pytest.raises(UserError, match="kpi reset") as caught:
            await store.unopened(**change).open()
        assert all(name in str(caught.value) for name in named)

    async def test_topic_belongs_to_one_feed(self, store: Store) -> None:
        """Two feeds can't share a topic: their segments would."""
        await store.sink()
        with pytest.raises(UserError, match=r"'access'.*'orders'"):
            await store.unopened(feed=replace(ACCESS, name="orders")).open()

    async def test_opening_again_and_pinging_are_harmless(self, store: Store) -> None:
        """A worker opens its sink as often as it must."""
        sink = await store.sink()
        await sink.open()
        await sink.ping()

    async def test_late_lines_far_back_reach_their_windows(self, store: Store) -> None:
        """Late lines of many offsets' blocks add up with what was on time."""
        sink, owner = await store.sink(), Owner()
        owner.read(1, 2, 3)
        owner.read(*[10_000] * 20_000)
        await sink.flush(owner.read(4, 5).checkpoint())
        await settle(sink)
        assert (await store.rows())[0]["requests"] == 5
        assert await store.differences() == []
