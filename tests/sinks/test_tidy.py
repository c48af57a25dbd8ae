"""Tidy: segments are united and dropped, and every line stays where it counts, once."""

import asyncio

import pytest

from kpi_app.core.segment import LATE_BLOCK
from kpi_app.errors import SinkBusy
from kpi_app.sinks import compact, expire
from kpi_app.sinks.claim import Pace
from kpi_app.sinks.postgres import PostgresSink
from tests.sinks.gate import Gate, after
from tests.sinks.owner import Owner
from tests.sinks.store import Store, settle

HOUR_S, DAY_S = 3_600, 86_400
LARGER = {"larger_s": (HOUR_S, DAY_S)}
PARTS = "SELECT array_agg(part ORDER BY part) FROM segment WHERE window_start = (SELECT min(window_start) FROM segment)"
UNBALANCED = "SELECT * FROM conservation WHERE difference <> 0"
COUNTS = ("SELECT count(*) FROM access_kpi", "SELECT count(*) FROM access_kpi_by", "SELECT count(*) FROM segment")


async def tidy(*sinks: PostgresSink) -> None:
    """Tidy until nothing is left."""
    while any([await sink.tidy() for sink in sinks]):
        pass


def late(owner: Owner, blocks: int, late_s: float = 5) -> Owner:
    """Late lines, one in each of the next blocks of offsets, the last of which is past then."""
    for _ in range(blocks):
        rest = LATE_BLOCK - owner.state.ledger.next_offset % LATE_BLOCK
        owner.read(late_s, *[1_000] * (rest - 1))
    return owner


async def test_sealed_segments_of_a_quiet_window_become_one(store: Store) -> None:
    """A closed window that nothing is changing any more has a segment a partition."""
    sink, owner = await store.sink(), Owner()
    await sink.flush(late(owner.read(1, 2, 1_000), 3).checkpoint())
    await settle(sink)
    assert await store.eye.fetchval(PARTS) == [0, 1, 2, 3]
    before = await store.rows()
    await tidy(sink)
    assert await store.eye.fetchval(PARTS) == [0]
    segment = await store.eye.fetchrow('SELECT requests, "offset" FROM segment ORDER BY window_start')
    assert tuple(segment) == (5, owner.state.ledger.next_offset - 1)
    assert await store.eye.fetch(UNBALANCED) == []
    await sink.flush(owner.read(3).checkpoint())  # one more late line, in a block that is not past
    await settle(sink)
    row = (await store.rows())[0]
    assert row == before[0] | {name: row[name] for name in ("revision", "updated_at", "tops_at", "sketches")} | {
        "requests": 6, "status_2xx": 6, "bytes_sent": 60, "late_requests": 4, "requests_per_second": 6 / 60,
        "unique_visitors": 6,
    }  # fmt: skip
    await tidy(sink)
    assert await store.eye.fetchval(PARTS) == [0, 4]
    assert await store.eye.fetch(UNBALANCED) == []


async def test_window_that_is_not_quiet_is_left_alone_until_it_has_many_segments(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window that goes on getting late lines is united now and then, not with each of them."""
    sink, owner = await store.sink(pace=Pace()), Owner()
    await sink.flush(late(owner.read(1, 1_000), 3).checkpoint())
    await settle(sink)
    await tidy(sink)
    assert await store.eye.fetchval(PARTS) == [0, 1, 2, 3]
    monkeypatch.setattr(compact, "MANY", 3)
    await tidy(sink)
    assert await store.eye.fetchval(PARTS) == [0]
    assert (await store.rows())[0]["requests"] == 4


async def test_many_segments_are_united_a_few_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many segments a window has, a transaction reads a bounded number of them."""
    monkeypatch.setattr(compact, "_SEGMENTS", 2)
    sink, owner = await store.sink(), Owner()
    await sink.flush(late(owner.read(1, 1_000), 6).checkpoint())
    await settle(sink)
    assert await sink.tidy() == 2
    assert await store.eye.fetchval(PARTS) == [0, 2, 3, 4, 5, 6]
    assert await store.eye.fetch(UNBALANCED) == []
    await tidy(sink)
    assert await store.eye.fetchval(PARTS) == [0]
    assert await store.eye.fetch(UNBALANCED) == []


async def test_old_flush_does_not_bring_back_what_was_united(store: Store) -> None:
    """Neither a checkpoint of before nor the same one again nor a later one has a segment that was sealed."""
    sink, owner = await store.sink(), Owner()
    old = late(owner.read(1, 1_000), 1).checkpoint()
    await sink.flush(old)
    last = late(owner, 2).checkpoint()
    await sink.flush(last)
    await settle(sink)
    await tidy(sink)
    for flush in (old, last, owner.read(1_000).checkpoint()):
        await sink.flush(flush)
        assert await store.eye.fetchval(PARTS) == [0]
        assert await store.eye.fetch(UNBALANCED + " AND partition IS NOT NULL") == []


@pytest.mark.parametrize("step", ["read_sealed", "replace_sealed"])
async def test_flush_waits_for_the_uniting_of_its_partition(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Lines that come while segments of their window are united are counted once, as all others."""
    first, second, owner = await store.sink(), await store.sink(), Owner()
    await first.flush(late(owner.read(1, 1_000), 3).checkpoint())
    await settle(first)
    gate = Gate(monkeypatch, f"compact.{step}")
    tidying = asyncio.create_task(first.tidy())
    await gate.reached()
    flushing = asyncio.create_task(second.flush(late(owner, 1).checkpoint()))
    await store.until("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
    gate.open()
    await asyncio.gather(tidying, flushing)
    await settle(second)
    await tidy(first, second)
    assert await store.eye.fetchval(PARTS) == [0]
    assert (await store.rows())[0]["requests"] == 5
    assert await store.eye.fetch(UNBALANCED) == []


async def test_window_that_is_being_merged_is_not_united(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge reads its segments page by page: they stay as they are for so long."""
    first, second, owner = await store.sink(), await store.sink(), Owner()
    await first.flush(late(owner.read(1, 1_000), 3).checkpoint())
    await settle(first)
    await first.flush(late(owner, 1).checkpoint())
    gate = Gate(monkeypatch, "merge.read_segments")
    merging = asyncio.create_task(first.merge())
    await gate.reached()
    assert await second.tidy() == 0
    gate.open()
    await merging
    await tidy(second)
    assert await store.eye.fetchval(PARTS) == [0]


@pytest.mark.parametrize("step", ["lock_books", "lock_windows", "read_sealed", "replace_sealed"])
async def test_uniting_that_is_cut_off_after_a_step_is_all_or_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A crash in between leaves all segments as they were."""
    sink = await store.sink()
    await sink.flush(late(Owner().read(1, 1_000), 3).checkpoint())
    await settle(sink)
    with monkeypatch.context() as patch:
        after(patch, f"compact.{step}", store.end_sessions)
        with pytest.raises(SinkBusy):
            await sink.tidy()
    assert await store.eye.fetchval(PARTS) == [0, 1, 2, 3]
    await tidy(sink)
    assert await store.eye.fetchval(PARTS) == [0]
    assert await store.eye.fetch(UNBALANCED) == []


async def test_one_worker_tidies_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds another one tidying leaves it to that one."""
    first, second = await store.sink(), await store.sink()
    await first.flush(late(Owner().read(1, 1_000), 3).checkpoint())
    await settle(first)
    gate = Gate(monkeypatch, "compact.find_late")
    tidying = asyncio.create_task(first.tidy())
    await gate.reached()
    assert await second.tidy() == 0
    gate.open()
    assert await tidying == 4


async def counts(store: Store) -> list[int]:
    """Rows of the tables that KPI_KEEP empties."""
    return [await store.eye.fetchval(sql) for sql in COUNTS]


async def test_old_windows_are_dropped_a_day_at_a_time(store: Store) -> None:
    """Rows, lists and segments of whole days that are over go; the books know how many lines they had."""
    sink, owner = await store.sink(**LARGER, keep_s=DAY_S), Owner()
    day = -(22 * HOUR_S + 14 * 60)
    await sink.flush(owner.read(1, 2, 3 * HOUR_S, day + 2 * DAY_S + 1, day + 3 * DAY_S).checkpoint())
    await settle(sink)
    assert list(await store.rows(DAY_S)) == [day, day + DAY_S, day + 2 * DAY_S, day + 3 * DAY_S]
    while await sink.tidy():
        assert await store.eye.fetch(UNBALANCED) == []
    assert list(await store.rows(DAY_S)) == [day + 2 * DAY_S, day + 3 * DAY_S]  # passed by less than the grace
    assert list(await store.rows()) == [day + 2 * DAY_S, day + 3 * DAY_S]
    assert await store.eye.fetchval("SELECT expired FROM ingest_ledger") == 3
    assert await store.eye.fetchval("SELECT count(DISTINCT window_start) FROM access_kpi_by") == 2
    assert await store.eye.fetchval("SELECT count(*) FROM segment") == 2
    assert await store.eye.fetch(UNBALANCED) == []


async def test_open_windows_are_not_dropped(store: Store) -> None:
    """However old: what a partition has not passed stays."""
    sink = await store.sink(keep_s=1)
    await sink.expect("access-log", 2)
    await sink.flush(Owner().read(1, 500).checkpoint())
    await settle(sink)
    await tidy(sink)
    assert len(await store.rows()) == 2
    await sink.flush(Owner(1).read(400).checkpoint())
    await tidy(sink)
    assert list(await store.rows()) == [0, 480]  # its row is open: merge has not seen yet that it is passed
    await settle(sink)
    await tidy(sink)
    assert list(await store.rows()) == [360, 480]


async def test_young_windows_are_not_dropped(store: Store) -> None:
    """What ended less than KPI_KEEP ago stays."""
    sink = await store.sink(keep_s=36_500 * DAY_S)
    await sink.flush(Owner().read(1, 5 * DAY_S).checkpoint())
    await settle(sink)
    await tidy(sink)
    assert len(await store.rows()) == 2


async def test_late_lines_of_a_dropped_window_are_booked_and_make_no_row(store: Store) -> None:
    """A row of the late lines alone would be half a row: they count in the books, and expire when they are sealed."""
    sink, owner = await store.sink(**LARGER, keep_s=DAY_S), Owner()
    await sink.flush(owner.read(1, 2, 5 * DAY_S).checkpoint())
    await settle(sink)
    await tidy(sink)
    rows = {size_s: await store.rows(size_s) for size_s in (60, HOUR_S, DAY_S)}
    expired = []
    for _ in range(3):
        await sink.flush(owner.read(3, 4).checkpoint())
        await settle(sink)
        await tidy(sink)
        assert await store.eye.fetch(UNBALANCED) == []
        expired.append(await store.eye.fetchval("SELECT expired FROM ingest_ledger"))
    await sink.flush(owner.read(*[5 * DAY_S] * LATE_BLOCK).checkpoint())
    assert await store.eye.fetch(UNBALANCED + " AND partition IS NOT NULL") == []
    await settle(sink)
    while await sink.tidy():
        assert await store.eye.fetch(UNBALANCED) == []
    expired.append(await store.eye.fetchval("SELECT expired FROM ingest_ledger"))
    assert expired == [2, 2, 2, 8]
    for size_s, before in rows.items():
        assert list(await store.rows(size_s)) == list(before)
    assert await store.eye.fetchval("SELECT count(*) FROM dirty_window") == 0


async def test_merge_that_began_before_the_drop_writes_no_half_row(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The horizon waits for merges that go by the old one."""
    first, second, owner = await store.sink(keep_s=1), await store.sink(), Owner()
    await first.flush(owner.read(1, 1_000).checkpoint())
    await settle(first)
    await second.flush(owner.read(2).checkpoint())
    gate = Gate(monkeypatch, "merge.write_rows")
    merging = asyncio.create_task(second.merge())
    await gate.reached()
    tidying = asyncio.create_task(tidy(first))
    await store.until("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
    assert list(await store.rows()) == [0, 960]
    gate.open()
    await asyncio.gather(merging, tidying)
    assert list(await store.rows()) == [960]
    assert await store.eye.fetch(UNBALANCED) == []


@pytest.mark.parametrize(
    "step", ["find_horizon", "move_horizon", "drop_lists", "drop_rows", "lock_books", "drop_segments"]
)
async def test_dropping_that_is_cut_off_after_a_step_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Wherever it stopped, the rest is found, and the books are right all the time."""
    monkeypatch.setattr(expire, "_ROWS", 2)
    sink = await store.sink(**LARGER, keep_s=1)
    await sink.flush(Owner().read(1, 61, 2 * HOUR_S, 3 * HOUR_S, 5 * DAY_S).checkpoint())
    await settle(sink)
    with monkeypatch.context() as patch:
        after(patch, f"expire.{step}", store.end_sessions)
        with pytest.raises(SinkBusy):
            await tidy(sink)
    assert await store.eye.fetch(UNBALANCED) == []
    while await sink.tidy():
        assert await store.eye.fetch(UNBALANCED) == []
    assert await counts(store) == [3, 12, 1]
    assert await store.eye.fetchval("SELECT expired FROM ingest_ledger") == 4


@pytest.mark.parametrize("step", ["drop_segments", "lock_books"])
async def test_flush_that_comes_while_segments_are_dropped_is_booked_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Books and segments agree whichever of the two is first."""
    first, second, owner = await store.sink(keep_s=1), await store.sink(), Owner()
    await first.flush(late(owner.read(1, 1_000), 2).checkpoint())
    await settle(first)
    gate = Gate(monkeypatch, f"expire.{step}")
    tidying = asyncio.create_task(tidy(first))
    await gate.reached()
    flushing = asyncio.create_task(second.flush(late(owner, 2).checkpoint()))
    assert await store.eye.fetch(UNBALANCED + " AND partition IS NOT NULL") == []
    gate.open()
    await asyncio.gather(tidying, flushing)
    assert await store.eye.fetch(UNBALANCED + " AND partition IS NOT NULL") == []
    await settle(second)
    await tidy(first)
    assert await store.eye.fetchval("SELECT expired FROM ingest_ledger") == 5
    assert await store.eye.fetch(UNBALANCED) == []


async def test_visitor_key_is_made_once(store: Store) -> None:
    """All workers get the same key, and a reset leaves it."""
    sinks = [await store.sink() for _ in range(3)]
    keys = await asyncio.gather(*(sink.visitor_key() for sink in sinks))
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
    assert keys[0] == await sinks[0].visitor_key()
