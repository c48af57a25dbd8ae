"""The live view: one question an interval however many look, what each is sent, and who is let go."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kpi_app.errors import SinkBusy, UserError
from kpi_app.web import events
from kpi_app.web import live as module
from kpi_app.web.answers import AskDifferently
from kpi_app.web.live import COLUMNS, MOST_VIEWERS, MOST_VIEWS, WAITING, Live, View, Viewer, view_of
from tests.web.conftest import Site
from tests.web.worker import Group, Reader

NOW = datetime(2026, 1, 31, 8, 30, 20, tzinfo=UTC)
HOUR = View(60, 3_600)


def row(minute: int, requests: int = 1) -> dict[str, Any]:
    """The row of a minute of the hour."""
    start = NOW.replace(minute=minute, second=0)
    return dict.fromkeys(COLUMNS, 0) | {"window_start": start, "requests": requests, "closed": False}


@pytest.fixture
async def live(reader: Reader, group: Group) -> AsyncIterator[Live]:
    live = Live(reader, group, 60, 0.01, lambda: NOW)
    yield live
    await live.close()


async def heard_next(viewer: Viewer) -> str:
    """The next event, whatever it is."""
    return (await viewer.next(20) or b"").decode()


async def hear(viewer: Viewer, event: str) -> Any:
    """The next event of a kind."""
    async with asyncio.timeout(20):
        while True:
            message = await viewer.next(20)
            assert message, "the viewer was let go"
            name, _, data = message.decode().partition("\n")
            if name == f"event: {event}":
                return json.loads(data.strip().removeprefix("data: "))


@pytest.mark.parametrize(
    ("latest", "end", "follows"),
    [
        # [07:31 ---- range ---- 08:31)   the minute that now is in is the last one
        (None, "08:31", "now"),
        ("08:30", "08:31", "now"),
        ("07:31", "08:31", "now"),
        ("07:30", "07:30", "last"),
        ("08:33", "08:33", "now"),  # a clock that is ahead
    ],
)
def test_a_range_ends_now_or_with_the_last_line(latest: str | None, end: str, follows: str) -> None:
    """A log of last year can be looked at, a quiet hour is not taken for the present."""
    day = "2026-01-31T{}:00+00:00"
    latest_end = None if latest is None else datetime.fromisoformat(day.format(latest))
    told = HOUR.span(NOW, latest_end)
    assert told == (told[1] - timedelta(hours=1), datetime.fromisoformat(day.format(end)), follows)


@pytest.mark.parametrize(("size_s", "range_s"), [(60, 90), (60, 60 * 401)])
def test_a_view_has_whole_windows_and_not_too_many(size_s: int, range_s: int) -> None:
    """Anything else is refused."""
    with pytest.raises(AskDifferently):
        view_of(size_s, range_s)


async def test_all_rows_come_first_and_then_those_that_changed(live: Live, reader: Reader) -> None:
    """A viewer that comes later gets all of them, too."""
    reader.rows = [row(10), row(11)]
    viewer = live.join(HOUR)
    assert viewer is not None
    first = await hear(viewer, "rows")
    assert first["all"]
    assert [told[1] for told in first["rows"]] == [1, 1]
    reader.rows = [row(10), row(11, 5), row(12)]
    while not (then := await hear(viewer, "rows"))["rows"]:
        pass
    assert not then["all"]
    assert [told[:2] for told in then["rows"]] == [["2026-01-31T08:11:00Z", 5], ["2026-01-31T08:12:00Z", 1]]
    late = live.join(HOUR)
    assert late is not None
    assert [told[1] for told in (await hear(late, "rows"))["rows"]] == [1, 5, 1]


async def test_postgres_is_asked_once_for_all_viewers(
    live: Live, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often for forty as for one: one question for rows in each round, and all hear the answer."""
    rounds = asyncio.Semaphore(0)
    asked = reader.latest_end

    async def latest_end(size_s: int) -> datetime | None:
        await rounds.acquire()
        return await asked(size_s)

    monkeypatch.setattr(reader, "latest_end", latest_end)  # which begins a round
    reader.rows = [row(10)]
    viewers = [live.join(HOUR) for _ in range(40)]
    for number in range(1, 4):
        rounds.release()
        for viewer in viewers:
            assert viewer is not None
            await hear(viewer, "rows")
        assert len([question for question in reader.asked if len(question) == 4]) == number
    overviews = [question for question in reader.asked if len(question) == 2]
    assert len(overviews) == 1


async def test_nobody_looks_nothing_is_asked(live: Live, reader: Reader) -> None:
    """The last one who leaves ends it; the next one starts it again."""
    viewer = live.join(HOUR)
    assert viewer is not None
    await hear(viewer, "rows")
    live.leave(HOUR, viewer)
    assert live._task is not None
    await asyncio.wait_for(live._task, 20)  # what would ask has ended
    again = live.join(HOUR)
    assert again is not None
    assert (await hear(again, "rows"))["all"]


async def test_lag_is_what_postgres_does_not_have_yet(live: Live, reader: Reader, group: Group) -> None:
    """The end of each partition less the ledger's next offset; null where Kafka does not say."""
    reader.books = [{"partition": number, "next_offset": 7, "idle": False} for number in range(2)]
    group.offsets = {0: 12}
    group.told = {"http://127.0.0.1:6066": [0]}
    viewer = live.join(None)
    assert viewer is not None
    told = await hear(viewer, "ingest")
    assert [one["lag"] for one in told["partitions"]] == [5, None]
    assert told["workers"] == {"http://127.0.0.1:6066": [0]}


async def test_it_goes_on_when_postgres_is_back(live: Live, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """One event says that it is away, whoever joins meanwhile, without a word on where it is."""
    monkeypatch.setattr(module, "MOST_PAUSE_S", 0.02)
    reader.error = SinkBusy("10.0.0.7 is away")
    viewer = live.join(HOUR)
    assert viewer is not None
    assert set(await hear(viewer, "trouble")) == {"since"}
    late = live.join(HOUR)
    assert late is not None
    await hear(late, "trouble")
    reader.error = None
    assert (await hear(viewer, "rows"))["all"]


async def test_a_view_that_fails_does_not_keep_the_rows_of_another(
    live: Live, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own viewers hear of the trouble, whoever comes later after the rows that it had; the others hear of rows."""
    monkeypatch.setattr(module, "MOST_PAUSE_S", 0.02)
    asked, day = reader.windows, View(60, 6 * 3_600)
    failing: set[timedelta] = set()

    async def windows(size_s: int, start: datetime, end: datetime, limit: int) -> Any:
        if end - start in failing:
            raise SinkBusy("too long for a statement")
        return await asked(size_s, start, end, limit)

    monkeypatch.setattr(reader, "windows", windows)
    reader.rows = [row(10)]
    slow, quick = live.join(day), live.join(HOUR)
    assert slow is not None
    assert quick is not None
    await hear(slow, "rows")
    failing.add(timedelta(hours=6))
    await hear(slow, "trouble")
    reader.rows = [row(10, 2)]
    while not (told := await hear(quick, "rows"))["rows"] or told["rows"][0][1] != 2:
        pass
    late = live.join(day)
    assert late is not None
    names = [(await heard_next(late)).partition("\n")[0] for _ in range(4)]
    assert names == ["event: ingest", "event: rows", "event: overview", "event: trouble"]
    assert live._channels[HOUR].trouble is None


async def test_an_overview_that_failed_is_asked_for_again(
    live: Live, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though no row has changed; and the rows come all the same."""
    monkeypatch.setattr(module, "OVERVIEW_EVERY_S", 0.0)
    asked, errors = reader.overview, [SinkBusy("a statement took too long")]

    async def overview(start: datetime, end: datetime) -> Any:
        if errors:
            raise errors.pop()
        return await asked(start, end)

    monkeypatch.setattr(reader, "overview", overview)
    reader.rows = [row(10, 3)]
    viewer = live.join(HOUR)
    assert viewer is not None
    assert (await hear(viewer, "overview"))["requests"] == 3
    assert errors == []


async def test_too_much_to_unite_is_said(live: Live, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of figures of a span that is shown no more."""
    monkeypatch.setattr(module, "OVERVIEW_EVERY_S", 0.0)
    reader.rows = [row(10, 3)]
    viewer = live.join(HOUR)
    assert viewer is not None
    assert (await hear(viewer, "overview"))["requests"] == 3

    async def overview(start: datetime, end: datetime) -> Any:
        raise UserError("too many windows")

    monkeypatch.setattr(reader, "overview", overview)
    reader.rows = [row(10, 4)]
    assert await hear(viewer, "overview") == {"tooMuch": True}


async def test_rows_that_left_the_tables_leave_the_page(live: Live, reader: Reader) -> None:
    """All of those that remain are sent, and replace what was there."""
    reader.rows = [row(10), row(11)]
    viewer = live.join(HOUR)
    assert viewer is not None
    await hear(viewer, "rows")
    reader.rows = [row(11)]
    while not (told := await hear(viewer, "rows"))["all"]:
        assert told["rows"] == []
    assert [one[0] for one in told["rows"]] == ["2026-01-31T08:11:00Z"]


async def test_who_does_not_listen_is_let_go(live: Live) -> None:
    """Messages do not pile up for it."""
    viewer = Viewer()
    for _ in range(WAITING + 1):
        viewer.put(b"news")
    assert await viewer.next(20) is None


async def test_viewers_and_views_are_limited(live: Live) -> None:
    """The rest is told to come later; who leaves makes room."""
    views = [View(60, 60 * n) for n in range(1, MOST_VIEWS + 2)]
    viewers = [live.join(view) for view in views]
    assert viewers[-1] is None
    assert all(viewers[:-1])
    more = [live.join(None) for _ in range(MOST_VIEWERS)]
    assert more.count(None) == MOST_VIEWS
    assert live.viewers == MOST_VIEWERS
    assert viewers[0] is not None
    live.leave(views[0], viewers[0])
    assert live.join(views[-1]) is not None


async def test_events_are_a_stream(site: Site) -> None:
    """With the headers of any answer, and for as long as one listens."""
    site.reader.rows = [row(10)]
    async with site.client.get("/kpi/events?size=60&range=3600") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        async with asyncio.timeout(20):
            assert (await answer.content.readline()).startswith(b"retry: ")
            while not (await answer.content.readline()).startswith(b"event: rows"):
                pass
            await site.app.web.web_app.shutdown()
            await answer.content.read()  # it ends, or the worker's stop would wait for it


async def test_who_does_not_read_holds_no_socket(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let go, and cut off: a socket that is closed politely stays until its reader has taken what it holds."""
    monkeypatch.setattr(events, "UNREAD_S", 0.05)
    site.reader.rows = [row(10)]
    site.reader.books = [{"partition": 0, "next_offset": 0, "of": "x" * 16_000_000}]  # more than sockets hold
    address = site.client.host, site.client.port
    reader, writer = await asyncio.open_connection(*address, limit=65_536)
    ours = writer.get_extra_info("sockname")
    server: Any = site.client.server.handler

    def is_held() -> bool:
        return any(one.transport and one.transport.get_extra_info("peername") == ours for one in server.connections)

    writer.write(b"GET /kpi/events?size=60&range=3600 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    async with asyncio.timeout(20):
        await reader.readexactly(1)  # it has begun
        assert is_held()
        while is_held():  # noqa: ASYNC110 - the server tells nobody of it
            await asyncio.sleep(0.01)
        assert len(await reader.read()) < 16_000_000  # what the sockets held, not the rest
    writer.transport.abort()


@pytest.mark.parametrize(
    "query", ["?size=60", "?range=60", "?size=61&range=61", "?size=60&range=0", "?size=60&range=9e9"]
)
async def test_a_wrong_view_is_refused(site: Site, query: str) -> None:
    """Before anything is asked."""
    assert (await site.get(f"/kpi/events{query}")).status == 400
    assert site.reader.asked == []


async def test_a_head_is_answered_at_once(site: Site) -> None:
    """It takes nobody's place."""
    async with asyncio.timeout(20), site.client.head("/kpi/events") as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
