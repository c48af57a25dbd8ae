"""Reports over years without a line: as much work as there are windows, and the right rows on both sides."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from kpi_app.errors import UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.report import spans
from kpi_app.report.ask import Wish, resolve
from kpi_app.report.spans import Span
from kpi_app.report.unite import overview, report
from kpi_app.sinks.connect import Database, Session
from kpi_app.sinks.postgres import PostgresSink
from kpi_app.web.reader import PostgresReader
from tests.sinks.owner import T0, TOPIC, Owner
from tests.sinks.store import Store, at, settle

SIZES_S = (60, 3_600, 86_400)
DAY_S = 86_400
UTC = ZoneInfo("UTC")

#: Where T0's day ends, seconds after T0.
MIDNIGHT_S = DAY_S - T0 % DAY_S
#: A day some ten years after that.
LATER_S = MIDNIGHT_S + 3_650 * DAY_S

#: Two years with a line a week, and in each of those days nothing but that minute.
WEEKLY_S = [MIDNIGHT_S + n * 7 * DAY_S + 3_600 for n in range(104)]


@dataclass
class Counted:
    """Asks for reports, and counts the queries that it takes."""

    store: Store
    database: Database
    queries: list[str] = field(default_factory=list)

    async def hold(self, *times_s: int) -> None:
        """Store lines and close their windows but the last."""
        sink: PostgresSink = self.store.unopened(larger_s=SIZES_S[1:])
        await sink.open()
        await sink.flush(Owner().read(*times_s).checkpoint())
        await settle(sink)

    async def ask(self, zone: ZoneInfo = UTC, **wish: Any) -> Sequence[dict[str, Any]]:
        """As the command does."""
        self.queries.clear()
        asked, sizes_s = await resolve(Wish(**wish), self.database, ACCESS, 60, zone)
        return await report(self.database, ACCESS, sizes_s, asked)


@pytest.fixture
async def counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Counted]:
    async with Database(store.dsn) as database:
        counted = Counted(store, database)
        fetch = Session.fetch

        async def fetched(session: Session, sql: str, *parameters: object) -> Sequence[Any]:
            counted.queries.append(sql)
            return await fetch(session, sql, *parameters)

        monkeypatch.setattr(Session, "fetch", fetched)
        yield counted


async def test_two_lines_ten_years_apart_are_a_few_queries(counted: Counted) -> None:
    """Not one for each empty hour of them: a line of a wrong clock is enough to make such a gap."""
    await counted.hold(0, LATER_S)
    [row] = await counted.ask()
    assert (row["from"], row["to"], row["requests"]) == (at(0), at(LATER_S + 60), 2)
    assert len(counted.queries) < 20
    for window in ("1m", "1h", "1d", "7d"):
        rows = await counted.ask(window=window)
        assert [row["requests"] for row in rows] == [1, 1]
        assert len(counted.queries) < 30


async def test_lines_at_the_borders_of_a_gap_are_there_once(counted: Counted) -> None:
    """The last minute before it, and the first behind it."""
    times_s = [0, MIDNIGHT_S - 1, LATER_S, LATER_S + DAY_S + 60, LATER_S + 2 * DAY_S - 1]
    await counted.hold(*times_s)
    [row] = await counted.ask()
    assert (row["requests"], row["unique_visitors"]) == (5, 5)
    assert (row["first_event"], row["last_event"]) == (at(0), at(times_s[-1]))
    [row] = await counted.ask(start=at(MIDNIGHT_S - 60).isoformat(), end=at(LATER_S + 60).isoformat())
    assert row["requests"] == 2
    assert await counted.ask(start=at(MIDNIGHT_S).isoformat(), end=at(LATER_S).isoformat()) == []
    rows = await counted.ask(window="1d")
    assert [(row["from"], row["to"], row["requests"]) for row in rows] == [
        (at(0), at(MIDNIGHT_S), 2),
        (at(LATER_S), at(LATER_S + DAY_S), 1),
        (at(LATER_S + DAY_S), at(LATER_S + 2 * DAY_S), 2),
    ]
    assert [row["from"] for row in await counted.ask(window="1h")] == [
        at(0),
        at(MIDNIGHT_S - 3_600),
        at(LATER_S),
        at(LATER_S + DAY_S),
        at(LATER_S + 2 * DAY_S - 3_600),
    ]


async def test_many_gaps_are_looked_into_at_once(counted: Counted) -> None:
    """A hundred weeks with a line each are two pages of days, and one question for what is between them."""
    await counted.hold(*WEEKLY_S)
    [row] = await counted.ask()
    assert row["requests"] == len(WEEKLY_S)
    assert len(counted.queries) < 20
    one = Span(T0, T0 + LATER_S)
    counted.queries.clear()
    assert (await overview(counted.database, ACCESS, SIZES_S, one, 5) or {})["requests"] == len(WEEKLY_S)
    assert len(counted.queries) < 20


async def test_rows_begin_where_they_would_without_gaps(counted: Counted) -> None:
    """At midnight of the zone, also behind years; every so many days from the first on."""
    await counted.hold(0, LATER_S)
    zone = ZoneInfo("America/New_York")
    rows = await counted.ask(zone, window="3d")
    assert [row["requests"] for row in rows] == [1, 1]
    midnight = rows[1]["from"].astimezone(zone)
    assert (midnight.hour, (midnight.date() - at(0).astimezone(zone).date()).days % 3) == (0, 0)


async def test_rows_without_a_line_are_not_counted(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report has as many rows as it prints, whatever the length of its span."""
    monkeypatch.setattr(spans, "MOST_SPANS", 104)
    monkeypatch.setattr("kpi_app.report.ask.MOST_SPANS", 104)
    await counted.hold(*WEEKLY_S)
    wish = {"start": "1970-01-01", "end": "9998-01-01"}
    for window in ("1m", "1h", "1d"):
        assert len(await counted.ask(window=window, **wish)) == len(WEEKLY_S)
    monkeypatch.setattr(spans, "MOST_SPANS", 103)
    for window in ("1m", "1h", "1d"):
        with pytest.raises(UserError, match="more than 103 rows"):
            await counted.ask(window=window, **wish)


async def test_a_worker_answers_over_a_gap_too(counted: Counted) -> None:
    """All that is stored is what who names no times asks for."""
    await counted.hold(0, LATER_S)
    reader = PostgresReader(counted.store.dsn, ACCESS, TOPIC, 60, UTC)
    try:
        [row] = await reader.report(Wish())
        assert row["requests"] == 2
        assert len(await reader.report(Wish(window="1m"))) == 2
    finally:
        await reader.close()
