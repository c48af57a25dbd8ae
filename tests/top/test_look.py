"""A look is what the books and the rows say: the page's, the report's and the lines' own numbers."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kpi_app.errors import SinkRefused, UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.top import look as looks
from kpi_app.top.look import Looker, Wish
from kpi_app.web.reader import PostgresReader
from tests.deploy.filled import line, read
from tests.sinks.owner import TOPIC, Owner
from tests.sinks.store import Store, at, settle
from tests.top.conftest import FAILED, LINES

SIZES = (60, 3_600, 86_400)
MakeLooker = Callable[..., Looker]


class Kafka:
    """Says where partitions end, or that it can't."""

    def __init__(self) -> None:
        self.ends: Mapping[int, int] | None = {0: 200}
        self.asked = 0

    async def __call__(self, partitions: Sequence[int]) -> Mapping[int, int]:
        self.asked += 1
        if self.ends is None:
            raise UserError("Kafka is away")
        return {partition: end for partition, end in self.ends.items() if partition in partitions}


class Clock:
    """Says when it is."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
async def looker(filled: Store, kafka: Kafka) -> AsyncIterator[MakeLooker]:
    """Makes what looks at the filled database."""
    made: list[Looker] = []

    def make(wish: Wish | None = None, now: datetime | None = None) -> Looker:
        reader = PostgresReader(filled.dsn, ACCESS, TOPIC, 60, ZoneInfo("UTC"))
        made.append(Looker(reader, wish or Wish(3_600), kafka, Clock(now or at(3_600))))
        return made[-1]

    yield make
    for one in made:
        await one.__aexit__(None, None, None)


async def test_a_look_is_what_the_lines_are(looker: MakeLooker) -> None:
    """The hour until now, by the minute, with what was rejected and what Kafka has left."""
    seen = await looker().look()
    assert (seen.start, seen.end, seen.follows, seen.size_s) == (at(0), at(3_600), "now", 60)
    assert [row["requests"] for row in seen.rows] == [3] * 60
    assert sum(row["status_5xx"] for row in seen.rows) == FAILED
    assert seen.overview is not None
    assert seen.overview["requests"] == LINES
    assert sum(value["requests"] for value in seen.overview["tops"]["path"]) == LINES
    [books] = seen.books
    assert (books["lines"], books["counted"], books["rejected"]) == (LINES + 1, LINES, 1)
    assert books["lag"] == 200 - (LINES + 1)


async def test_a_log_of_the_past_is_shown_where_it_ends(looker: MakeLooker) -> None:
    """Not an hour of nothing."""
    seen = await looker(now=at(90 * 86_400)).look()
    assert (seen.end, seen.follows, len(seen.rows)) == (at(3_600), "last", 60)


async def test_windows_are_the_smallest_that_fit(looker: MakeLooker) -> None:
    """Unless told otherwise; of the sizes that the feed has, whatever our settings say."""
    for wish, size_s in (
        (Wish(3_600), 60),
        (Wish(24_000), 60),
        (Wish(86_400), 3_600),
        (Wish(86_400 * 300), 86_400),
        (Wish(7_200, 3_600), 3_600),
    ):
        assert (await looker(wish).look()).size_s == size_s


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (Wish(3_600, 300), "--window 5m: one of 1m, 1h, 1d"),
        (Wish(90), "--range 90s: 1 to 400 windows of 1m or 1h or 1d, in whole ones"),
        (Wish(86_400, 60), "--range 1d: 1 to 400 windows of 1m, in whole ones"),
        (Wish(86_400 * 401), "--range 401d: 1 to 400"),
    ],
)
async def test_windows_that_there_are_not_are_refused(wish: Wish, why: str, looker: MakeLooker) -> None:
    """With what would be right."""
    with pytest.raises(UserError) as refused:
        await looker(wish).look()
    assert str(refused.value).startswith(why)


async def test_a_kafka_that_is_away_is_left_alone(looker: MakeLooker, kafka: Kafka) -> None:
    """The lag is not known then, and the looks do not wait for it each time."""
    kafka.ends = None
    one = looker()
    for _ in range(3):
        assert [books["lag"] for books in (await one.look()).books] == [None]
    assert kafka.asked == 1


async def test_what_takes_work_is_made_as_rarely_as_for_the_page(
    looker: MakeLooker, filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and books are new at every look; what is united, every ten seconds, and only when rows have changed."""
    one = looker()
    first = await one.look()
    owner = Owner(1)
    read(owner, [line(0)])
    sink = await filled.sink(larger_s=SIZES[1:])
    await sink.flush(owner.checkpoint())
    await settle(sink)
    second = await one.look()
    assert second.overview is first.overview
    assert sum(row["requests"] for row in second.rows) == LINES + 1
    assert len(second.books) == 2
    monkeypatch.setattr(looks, "OVERVIEW_EVERY_S", 0)
    third = await one.look()
    assert third.overview is not None
    assert third.overview["requests"] == LINES + 1
    assert (await one.look()).overview is third.overview


async def test_without_a_schema_it_says_what_to_run(database: str, kafka: Kafka) -> None:
    """As every reader does."""
    reader = PostgresReader(database, ACCESS, TOPIC, 60, ZoneInfo("UTC"))
    async with Looker(reader, Wish(3_600), kafka) as one:
        with pytest.raises(SinkRefused, match="kpi migrate"):
            await one.look()


async def test_before_the_first_line_there_is_nothing(store: Store, kafka: Kafka) -> None:
    """And Kafka is not asked for what nobody has read."""
    reader = PostgresReader(store.dsn, ACCESS, TOPIC, 60, ZoneInfo("UTC"))
    async with Looker(reader, Wish(3_600), kafka) as one:
        seen = await one.look()
    assert (seen.rows, seen.overview, seen.books) == ([], None, [])
    assert seen.end - seen.start == timedelta(hours=1)
    assert kafka.asked == 0
