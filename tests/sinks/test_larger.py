"""Larger windows: minutes become hours and days, each line in each of them once, and lists with them."""

import asyncio
from itertools import chain

import pytest

from kpi_app.core.windows import utc
from kpi_app.errors import SinkBusy
from kpi_app.sinks import merge
from kpi_app.sinks.claim import Held, Pace
from kpi_app.sinks.merge import Window, merge_windows
from kpi_app.sinks.postgres import PostgresSink
from tests.sinks.gate import Gate, after
from tests.sinks.owner import Owner
from tests.sinks.store import Store, settle

HOUR_S, DAY_S = 3_600, 86_400
LARGER = {"larger_s": (HOUR_S, DAY_S)}

#: The hour and the day that T0 is in: it is 22:14 on a day of 2023.
HOUR, DAY = -14 * 60, -(22 * HOUR_S + 14 * 60)

_NOT_ADDED_UP = """
SELECT window_seconds, window_start, dimension
  FROM access_kpi LEFT JOIN access_kpi_by AS by USING (window_start, window_seconds)
 GROUP BY window_seconds, window_start, dimension
HAVING coalesce(sum(by.requests), 0) <> min(access_kpi.requests)
    OR coalesce(sum(by.bytes_sent), 0) <> min(access_kpi.bytes_sent)
    OR coalesce(sum(by.errors), 0) <> min(status_4xx + status_5xx)
"""


async def requests(store: Store, size_s: int) -> dict[float, int]:
    """The requests of the rows of a size, by start."""
    return {start: row["requests"] for start, row in (await store.rows(size_s)).items()}


async def written(store: Store) -> list[object]:
    """All rows, with what tells whether they were written again."""
    rows = await store.eye.fetch("SELECT xmin, * FROM access_kpi")
    return [rows, await store.eye.fetch("SELECT xmin, * FROM access_kpi_by")]


async def check(store: Store) -> None:
    """Raise unless all holds that has to when nothing is left to merge."""
    assert await store.eye.fetchval("SELECT count(*) FROM dirty_window") == 0
    assert await store.eye.fetch("SELECT * FROM conservation WHERE difference <> 0") == []
    assert await store.eye.fetch(_NOT_ADDED_UP) == []


async def merge_size(sink: PostgresSink, level: int) -> None:
    """Merge one size: 0 minutes, 1 hours, 2 days."""
    async with sink.database.transaction() as session:
        await merge_windows(session, sink.scope, level)


async def test_minutes_become_hours_and_days(store: Store) -> None:
    """A larger row says of its lines what a row of that size would."""
    sink = await store.sink(**LARGER)
    await sink.flush(Owner(0).read(1, 1.5, 70, HOUR_S, 3 * HOUR_S).checkpoint())
    await sink.flush(Owner(1).read(1.2, 3 * HOUR_S).checkpoint())
    await settle(sink)
    await check(store)
    assert await requests(store, HOUR_S) == {HOUR: 4, HOUR + HOUR_S: 1, HOUR + 3 * HOUR_S: 2}
    assert await requests(store, DAY_S) == {DAY: 5, DAY + DAY_S: 2}
    hour = (await store.rows(HOUR_S))[HOUR]
    assert (hour["peak_requests_per_second"], hour["requests_per_second"]) == (3, 4 / HOUR_S)
    assert (hour["unique_visitors"], hour["closed"], hour["revision"]) == (3, True, 0)
    assert [row["closed"] for row in (await store.rows(DAY_S)).values()] == [True, False]
    rows = await store.eye.fetch("SELECT date::text, hour, requests FROM access_hourly ORDER BY hour_start")
    assert [tuple(row) for row in rows] == [("2023-11-14", 22, 4), ("2023-11-14", 23, 1), ("2023-11-15", 1, 2)]
    rows = await store.eye.fetch("SELECT date::text, requests FROM access_daily ORDER BY day_start")
    assert [tuple(row) for row in rows] == [("2023-11-14", 5), ("2023-11-15", 2)]


async def test_late_correction_reaches_the_closed_hour_and_day_at_once(store: Store) -> None:
    """A late line is in every row that it belongs to, as a revision, without waiting for any pace."""
    sink, owner = await store.sink(**LARGER, pace=Pace()), Owner()
    await sink.flush(owner.read(1, 2, 3 * DAY_S).checkpoint())
    await settle(sink)
    await sink.flush(owner.read(3).checkpoint())
    assert await sink.merge() == 3
    for size_s, start in ((60, 0), (HOUR_S, HOUR), (DAY_S, DAY)):
        row = (await store.rows(size_s))[start]
        assert (row["requests"], row["late_requests"], row["closed"], row["revision"]) == (3, 1, True, 1)
    assert await store.eye.fetch(_NOT_ADDED_UP) == []


async def test_hour_waits_for_its_pace_while_a_minute_of_it_is_open(store: Store) -> None:
    """An open hour is merged when its mark is due, or as soon as no minute of it is open."""
    sink, owner = await store.sink(**LARGER, pace=Pace()), Owner()
    await sink.flush(owner.read(1).checkpoint())
    assert await sink.merge() == 1
    assert await requests(store, HOUR_S) == {}
    await store.eye.execute("UPDATE dirty_window SET due_at = statement_timestamp() WHERE window_seconds = 3600")
    assert await sink.merge() == 1
    assert await requests(store, HOUR_S) == {HOUR: 1}
    await sink.flush(owner.read(2).checkpoint())
    await settle(sink)
    assert await requests(store, HOUR_S) == {HOUR: 1}
    await sink.flush(owner.checkpoint(idle=True))
    await settle(sink)
    await check(store)
    assert await requests(store, DAY_S) == {DAY: 2}


async def test_lists_of_an_open_window_are_written_at_their_pace_and_when_it_closes(store: Store) -> None:
    """The row is ahead of its lists for ten seconds at most, and never once it is closed."""
    sink, owner = await store.sink(pace=Pace()), Owner()
    listed = "SELECT coalesce(sum(requests), 0)::integer FROM access_kpi_by WHERE dimension = 'path'"
    await sink.flush(owner.read(1).checkpoint())
    await settle(sink)
    assert await store.eye.fetchval(listed) == 1
    await sink.flush(owner.read(2).checkpoint())
    await settle(sink)
    assert (await requests(store, 60), await store.eye.fetchval(listed)) == ({0: 2}, 1)
    assert await store.eye.fetchval("SELECT count(*) FROM dirty_window WHERE due_at > now()") == 1
    await store.eye.execute("UPDATE dirty_window SET due_at = now()")
    await store.eye.execute("UPDATE access_kpi SET tops_at = tops_at - interval '10 s'")
    assert await sink.merge() == 1
    await check(store)
    assert await sink.merge() == 0
    await sink.flush(owner.read(3).checkpoint())
    await settle(sink)
    await sink.flush(owner.read(120).checkpoint())
    await settle(sink)
    assert await store.eye.fetch(_NOT_ADDED_UP) == []


async def test_values_that_leave_the_top_are_deleted(store: Store) -> None:
    """The lists hold the heaviest values and `(other)`, no more, and what did not change is not written."""
    sink, owner = await store.sink(top=1), Owner()
    await sink.flush(owner.read(1).checkpoint())
    await settle(sink)
    await sink.flush(owner.read(2, 3, 4, 5, 6, 7).checkpoint())  # offsets 0 and 5 have path /0, 1 and 6 have /1
    await settle(sink)
    rows = await store.eye.fetch("SELECT value, requests FROM access_kpi_by WHERE dimension = 'path'")
    assert {tuple(row) for row in rows} == {("/0", 2), ("(other)", 5)}
    await sink.flush(owner.read(8, 9, 10, 11, 61, 12).checkpoint())  # the last one, offset 12, has path /2
    await settle(sink)
    rows = await store.eye.fetch(
        "SELECT value, requests FROM access_kpi_by JOIN (SELECT min(window_start) AS window_start FROM access_kpi) AS f"
        " USING (window_start) WHERE dimension = 'path'"
    )
    assert {tuple(row) for row in rows} == {("/0", 3), ("(other)", 9)}
    await check(store)


async def test_value_that_did_not_change_is_not_written(store: Store) -> None:
    """Of a window's lists only the rows that changed are written."""
    sink, owner = await store.sink(), Owner()
    await sink.flush(owner.read(1, 2, 3).checkpoint())
    await settle(sink)
    rows = "SELECT xmin, value FROM access_kpi_by WHERE dimension = 'path' AND value IN ('/0', '/1', '/2')"
    before = await store.eye.fetch(rows)
    await sink.flush(owner.read(4).checkpoint())
    await settle(sink)
    assert await store.eye.fetch(rows) == before
    await check(store)


async def test_row_that_is_merged_to_the_same_is_not_written_in_any_size(store: Store) -> None:
    """Marks of windows that did not change cost no write."""
    sink = await store.sink(**LARGER)
    await sink.flush(Owner().read(1, 2, 2 * DAY_S).checkpoint())
    await settle(sink)
    before = await written(store)
    await store.eye.execute(
        "INSERT INTO dirty_window (topic, window_start, window_seconds)"
        " SELECT 'access-log', window_start, window_seconds FROM access_kpi"
    )
    await settle(sink)
    assert await written(store) == before
    await check(store)


STEPS = [
    "lock_windows",
    "take_marks",
    "weigh",
    "read_segments",
    "read_smaller",
    "write_rows",
    "write_tops",
    "mark_larger",
]


@pytest.mark.parametrize("step", STEPS)
async def test_merge_of_all_sizes_that_is_cut_off_after_a_step_is_done_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whatever a merge has committed before its connection breaks, the next one does the rest."""
    sink = await store.sink(**LARGER)
    await sink.flush(Owner().read(1, 120, 2 * DAY_S).checkpoint())
    with monkeypatch.context() as patch:
        after(patch, f"merge.{step}", store.end_sessions)
        with pytest.raises(SinkBusy):
            await settle(sink)
    await settle(sink)
    await check(store)
    assert await requests(store, DAY_S) == {DAY: 2, DAY + 2 * DAY_S: 1}


@pytest.mark.parametrize("step", ["take_marks", "read_smaller", "write_rows"])
async def test_line_that_comes_while_its_hour_is_merged_is_not_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A minute that is merged beside the merge of its hour leaves a mark for the next one."""
    # hours    lock . take . read . write . commit
    # minutes       ^      ^      ^   (one of them)
    first, second, owner = await store.sink(**LARGER), await store.sink(**LARGER), Owner()
    await first.flush(owner.read(1, 2 * DAY_S).checkpoint())
    await merge_size(first, 0)
    gate = Gate(monkeypatch, f"merge.{step}")
    merging = asyncio.create_task(merge_size(first, 1))
    await gate.reached()
    await second.flush(owner.read(2).checkpoint())
    await settle(second)
    gate.open()
    await merging
    await settle(first, second)
    assert (await requests(store, HOUR_S))[HOUR] == (await requests(store, DAY_S))[DAY] == 2
    await check(store)


async def test_hour_does_not_close_before_its_minutes_are_merged(store: Store) -> None:
    """A passed hour of which a minute waits to be merged stays open: what is to come is no correction."""
    sink, owner = await store.sink(**LARGER), Owner()
    await sink.flush(owner.read(1).checkpoint())
    await settle(sink)
    await sink.flush(owner.read(2, 2 * DAY_S).checkpoint())
    await merge_size(sink, 1)
    await merge_size(sink, 2)
    assert not (await store.rows(HOUR_S))[HOUR]["closed"]
    await settle(sink)
    for size_s, start in ((HOUR_S, HOUR), (DAY_S, DAY)):
        row = (await store.rows(size_s))[start]
        assert (row["requests"], row["closed"], row["revision"]) == (2, True, 0)


async def test_sizes_may_change(store: Store) -> None:
    """A new size is made of what is there; one that is no more is left as it was, and not compared any more."""
    sink, owner = await store.sink(larger_s=(DAY_S,)), Owner()
    await sink.flush(owner.read(1, 2 * HOUR_S, 2 * DAY_S).checkpoint())
    await settle(sink)
    days = await store.rows(DAY_S)
    both = await store.sink(larger_s=(HOUR_S, DAY_S))
    await both.flush(owner.read(2 * DAY_S + 1).checkpoint())
    await settle(both)
    await check(store)
    assert await requests(store, HOUR_S) == {HOUR: 1, HOUR + 2 * HOUR_S: 1, HOUR + 2 * DAY_S: 2}
    assert (await store.rows(DAY_S))[DAY] == days[DAY]
    hours, days = await store.sink(larger_s=(HOUR_S,)), await store.rows(DAY_S)
    await hours.flush(owner.read(2).checkpoint())
    await settle(hours)
    assert await store.rows(DAY_S) == days
    rows = await store.eye.fetch("SELECT * FROM conservation WHERE window_seconds IS NOT NULL")
    assert {row["window_seconds"]: row["difference"] for row in rows} == {60: 0, HOUR_S: 0}


async def test_segments_are_read_in_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of more segments than one read takes, and an hour of more minutes, hold each line once."""
    monkeypatch.setattr("kpi_app.sinks.merge._PAGE", 3)
    sink = await store.sink(**LARGER)
    for partition in range(7):
        await sink.flush(Owner(partition).read(*range(0, 600, 20), 2 * DAY_S, 5).checkpoint())
    await settle(sink)
    await check(store)
    assert await requests(store, DAY_S) == {DAY: 7 * 31, DAY + 2 * DAY_S: 7}


@pytest.mark.parametrize(
    ("weights", "bunched"),
    [
        ([3, 3, 3, 3, 3, 3, 3], [3, 3, 1]),
        ([11, 1, 10, 1], [1, 1, 1, 1]),
        ([0] * 7, [5, 2]),
        ([], []),
    ],
    ids=["bytes", "one alone is too much", "windows", "none"],
)
def test_windows_in_hand_are_bounded(weights: list[int], bunched: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """By their number and by their bytes, unless a single one has more; none is left out, or has another place."""
    monkeypatch.setattr(merge, "_IN_HAND", 5)
    monkeypatch.setattr(merge, "_BYTES", 10)
    windows = [Window(utc(60 * number), False, False) for number in range(len(weights))]
    weighed = {window.start: weight for window, weight in zip(windows, weights, strict=True) if weight}
    found = list(merge.bunches(windows, weighed))
    assert list(map(len, found)) == bunched
    assert list(chain.from_iterable(found)) == windows


async def test_bunches_of_one_window_give_the_same_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every size."""
    monkeypatch.setattr(merge, "_BYTES", 1)
    sink = await store.sink(**LARGER)
    await sink.flush(Owner().read(*range(0, 31 * 60, 60), 2 * DAY_S).checkpoint())
    await settle(sink)
    await check(store)
    assert await requests(store, DAY_S) == {DAY: 31, DAY + 2 * DAY_S: 1}


@pytest.mark.parametrize(
    ("level", "query"),
    [
        (0, "SELECT window_start, sum(length(state)) FROM segment GROUP BY 1"),
        (
            1,
            "SELECT date_trunc('hour', window_start, 'UTC'), sum(length(sketches)) FROM access_kpi"
            " WHERE window_seconds = 60 GROUP BY 1",
        ),
        (
            2,
            "SELECT date_trunc('day', window_start, 'UTC'), sum(length(sketches)) FROM access_kpi"
            " WHERE window_seconds = 3600 GROUP BY 1",
        ),
    ],
)
async def test_windows_weigh_what_they_are_made_of(store: Store, level: int, query: str) -> None:
    """Their segments, or the rows of the next smaller size."""
    sink = await store.sink(**LARGER)
    for partition in range(2):
        await sink.flush(Owner(partition).read(0, 60, 7_200, 2 * DAY_S).checkpoint())
    await settle(sink)
    bytes_by_start = {row[0]: row[1] for row in await store.eye.fetch(query)}
    windows = [Window(start, False, False) for start in bytes_by_start]
    async with sink.database.transaction() as session:
        size = merge._size(Held((60, HOUR_S, DAY_S), None), level)
        assert await merge.weigh(session, sink.scope, size, windows) == bytes_by_start


async def test_two_workers_merge_all_sizes_at_once(store: Store) -> None:
    """Whoever merges what: in the end every size holds every line once."""
    sinks = [await store.sink(**LARGER), await store.sink(**LARGER)]
    owners = Owner(0), Owner(1)
    for hour in range(12):
        for owner in owners:
            owner.read(*(hour * HOUR_S + second for second in range(0, HOUR_S, 400)), hour * HOUR_S // 2)
        flushes = [sink.flush(owner.checkpoint()) for sink, owner in zip(sinks, owners, strict=True)]
        await asyncio.gather(*flushes, sinks[0].merge())
        await asyncio.gather(*(sink.merge() for sink in sinks))
    await settle(*sinks)
    await check(store)
    assert sum((await requests(store, DAY_S)).values()) == 2 * 12 * 10
