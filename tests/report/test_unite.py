"""Reports: any span of time comes to what its lines come to, whichever windows it is read from."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pytest

from kpi_app.errors import UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.report.ask import Wish, resolve
from kpi_app.report.spans import Span
from kpi_app.report.unite import dimensions, overview, report
from kpi_app.sinks.connect import Database
from tests.sinks.owner import T0, Owner
from tests.sinks.store import Store, at, settle

SIZES_S = (60, 3_600, 86_400)
UTC = ZoneInfo("UTC")

#: Seconds after T0 of each line: two days, out of order, several a second, the last hours still open.
TIMES_S = [n * 397 % 172_800 for n in range(0, 431, 3)] + [5, 5, 5, 86_400, 86_399, 172_799]


@dataclass
class Asks:
    """Asks for reports."""

    database: Database

    async def __call__(self, **wish: object) -> list[dict[str, object]]:
        asked, sizes_s = await resolve(Wish(**wish), self.database, ACCESS, 60, UTC)  # type: ignore[arg-type]
        return await report(self.database, ACCESS, sizes_s, asked)


@pytest.fixture
async def asks(store: Store) -> AsyncIterator[Asks]:
    sink = store.unopened(larger_s=SIZES_S[1:])
    await sink.open()
    await sink.flush(Owner().read(*sorted(TIMES_S)).checkpoint())
    await settle(sink)
    async with Database(store.dsn) as database:
        yield Asks(database)


def moment(time_s: int) -> str:
    return at(time_s).isoformat()


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(0, 172_800), (60, 7_200), (3_540, 100_020), (86_340, 86_460), (170_000, 172_801)]
)
async def test_any_span_is_what_its_lines_are(asks: Asks, start_s: int, end_s: int) -> None:
    """Sums, peaks, first and last event, and visitors, who are united."""
    [row] = await asks(start=moment(start_s), end=moment(end_s))
    begin, end = start_s // 60 * 60, -(-end_s // 60) * 60
    inside = [time_s for time_s in TIMES_S if begin <= time_s < end]
    assert (row["from"], row["to"]) == (at(begin), at(end))
    assert (row["requests"], row["bytes_sent"]) == (len(inside), 10 * len(inside))
    assert row["unique_visitors"] == pytest.approx(len(inside), rel=0.03)  # each line here is a visitor of its own
    assert row["peak_requests_per_second"] == max(Counter(inside).values())
    assert row["requests_per_second"] == len(inside) / (end - begin)
    assert (row["first_event"], row["last_event"]) == (at(min(inside)), at(max(inside)))


async def test_rows_of_a_length_add_up_to_the_span(asks: Asks) -> None:
    """By hour, by day, by odd lengths: each line is in one row."""
    for window in ("7m", "1h", "1d"):
        rows = await asks(window=window)
        assert sum(row["requests"] for row in rows) == len(TIMES_S)  # type: ignore[misc]


async def test_values_of_a_dimension_add_up_to_the_span(asks: Asks) -> None:
    """The heaviest values, and the others in one row."""
    truth = Counter(f"/{number % 5}" for number in range(len(TIMES_S)))
    rows = await asks(by="path", top=2)
    assert [row["requests"] for row in rows][:2] == [count for _, count in truth.most_common(2)]
    assert rows[-1]["value"] == "(other)"
    assert sum(row["requests"] for row in rows) == len(TIMES_S)  # type: ignore[misc]


async def test_a_span_without_lines_has_no_row(asks: Asks) -> None:
    """Nothing is not a row of zeros."""
    assert await asks(start=moment(-7_200), end=moment(-3_600)) == []


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"by": "colour"}, "unknown dimension 'colour': one of status, method"),
        ({"start": "yesterday"}, "'yesterday' is not a date or time"),
        ({"start": "0001-01-01", "end": "0001-01-02", "window": "1d"}, "'0001-01-01' is not a date or time"),
        ({"end": "9999-12-31T23:59:59.5Z"}, "is not a date or time"),
        ({"window": "soon"}, "'soon' is not a duration"),
        ({"window": "90s"}, "not a multiple of the base window"),
        ({"start": "2026-01-02", "end": "2026-01-01"}, "from an earlier to a later time"),
    ],
)
async def test_what_can_not_be_reported_is_told_so(asks: Asks, wish: dict[str, object], why: str) -> None:
    """One line that says what would be right."""
    with pytest.raises(UserError, match=why):
        await asks(**wish)


async def test_nothing_stored_is_an_empty_report(store: Store) -> None:
    """Before the first line there is no span, and no error."""
    await store.sink()
    async with Database(store.dsn) as database:
        assert await Asks(database)() == []


def test_times_without_a_zone_are_in_the_zone() -> None:
    """As the views have it."""
    from kpi_app.report.ask import time

    assert time("2026-07-01", ZoneInfo("Europe/Berlin")).isoformat() == "2026-06-30T22:00:00+00:00"
    assert at(0).timestamp() == T0


async def test_an_overview_is_the_reports_of_all_dimensions(asks: Asks) -> None:
    """One reading of the windows gives what a report of the figures and one by each dimension give."""
    start_s, end_s = 3_540, 100_020
    one = Span(T0 + start_s, T0 + end_s)
    told = await overview(asks.database, ACCESS, SIZES_S, one, 5)
    assert told is not None
    tops = told.pop("tops")
    assert [told] == await asks(start=moment(start_s), end=moment(end_s))
    for name in dimensions(ACCESS):
        by = await asks(start=moment(start_s), end=moment(end_s), by=name, top=5)
        ends = {"from": told["from"], "to": told["to"], "dimension": name}
        assert [ends | value for value in tops.get(name, [])] == by
    assert "path" in tops


async def test_an_overview_of_nothing_is_none_and_of_too_much_is_refused(asks: Asks) -> None:
    """It is a page's, beside other work."""
    assert await overview(asks.database, ACCESS, SIZES_S, Span(T0 - 7_200, T0 - 3_600), 5) is None
    with pytest.raises(UserError, match="too many windows"):
        await overview(asks.database, ACCESS, SIZES_S, Span(T0, T0 + 172_800), 5, most_states=3)


async def test_a_report_tells_how_far_it_is(asks: Asks) -> None:
    """Seconds and windows that only grow, up to all that there are."""
    told: list[tuple[int, int, int]] = []
    asked, sizes_s = await resolve(Wish(window="1d"), asks.database, ACCESS, 60, UTC)
    await report(asks.database, ACCESS, sizes_s, asked, told=lambda *far: told.append(far))
    assert told == sorted(told)
    assert {total_s for _, total_s, _ in told} == {sum(span.seconds for span in asked.spans)}
    assert all(done_s <= total_s for done_s, total_s, _ in told)
    assert len(asked.spans) <= len(told) <= told[-1][2]
