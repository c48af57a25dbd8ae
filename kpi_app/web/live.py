"""Live: what viewers are sent, made once for all of them, however many they are."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple

import orjson

from kpi_app.errors import SinkBusy, SinkRefused, UserError
from kpi_app.web.answers import AskDifferently
from kpi_app.web.lags import with_lag
from kpi_app.web.needs import Group, Reader

log = logging.getLogger("kpi_app.web")

#: Windows that a view shows at most.
MOST_WINDOWS = 400

#: Views that are kept up to date at once, and viewers.
MOST_VIEWS = 8
MOST_VIEWERS = 100

#: Messages that wait for a viewer before it is let go.
WAITING = 32

#: Figures of a range and its top lists are made at most this often.
OVERVIEW_EVERY_S = 10.0

#: The longest pause between two tries while Postgres is away.
MOST_PAUSE_S = 5.0

#: How long to wait for the ends of partitions, which Kafka knows.
ENDS_S = 2.0

#: What a viewer is sent of a row.
COLUMNS = (
    "window_start",
    "requests",
    "peak_requests_per_second",
    "bytes_sent",
    *(f"status_{n}xx" for n in range(1, 6)),
    "status_other",
    "unique_visitors",
    "bot_requests",
    "late_requests",
    *(f"request_time_{name}" for name in ("mean", "p50", "p90", "p95", "p99", "max")),
    "closed",
    "revision",
)

_EVENT = b"event: %s\ndata: %s\n\n"
_JSON = orjson.OPT_UTC_Z


class View(NamedTuple):
    """The latest `range_s` seconds in windows of `size_s`."""

    size_s: int
    range_s: int

    def span(self, now: datetime, latest_end: datetime | None) -> tuple[datetime, datetime, str]:
        """What it shows: `[start, end)` in whole windows, and what the end follows: `now`, or the `last` window.

        `latest_end`: where the last stored window ends. When it lies before the range that ends now, the range ends
        with it: a log of last year can be looked at.
        """
        range_ = timedelta(seconds=self.range_s)
        if latest_end is None or latest_end > now - range_:
            end, follows = now if latest_end is None else max(now, min(latest_end, now + range_)), "now"
        else:
            end, follows = latest_end, "last"
        end_s = -(-int(end.timestamp()) // self.size_s) * self.size_s
        end = datetime.fromtimestamp(end_s, UTC)
        return end - range_, end, follows


class Viewer:
    """One who looks: messages wait here until they are sent."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self._gone = asyncio.Event()
        #: It takes less than it is sent.
        self.deaf = False

    def put(self, message: bytes) -> None:
        """Have a message sent. A viewer with too many of them is let go: it comes back and gets all there is."""
        try:
            self._messages.put_nowait(message)
        except asyncio.QueueFull:
            self.deaf = True
            self.let_go()

    def let_go(self) -> None:
        """End it; what waits is not sent."""
        self._gone.set()

    async def next(self, patience_s: float) -> bytes | None:
        """The next message; an empty one after `patience_s` without any, None when it is over."""
        waits = [asyncio.ensure_future(self._messages.get()), asyncio.ensure_future(self._gone.wait())]
        try:
            await asyncio.wait(waits, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            if self._gone.is_set():
                return None
            return waits[0].result() if waits[0].done() else b""  # type: ignore[return-value]
        finally:
            for wait in waits:
                wait.cancel()


@dataclass
class _Channel:
    """A view, and what its viewers have been sent."""

    viewers: set[Viewer] = field(default_factory=set)
    span: tuple[datetime, datetime, str] | None = None
    rows: dict[datetime, Mapping[str, Any]] = field(default_factory=dict)
    overview: bytes | None = None
    overview_at_s: float | None = None
    stale: bool = False
    #: Told when Postgres stopped answering for this view; None while it answers.
    trouble: bytes | None = None


class Live:
    """Asks while somebody looks, once an interval, and tells all viewers."""

    def __init__(
        self,
        reader: Reader,
        group: Group,
        base_s: int,
        every_s: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reader = reader
        self._group = group
        self._base_s = base_s
        self._every_s = every_s
        self._now = now
        #: By view; None are those who look at the books alone.
        self._channels: dict[View | None, _Channel] = {}
        self._books: bytes | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def viewers(self) -> int:
        """How many look."""
        return sum(len(channel.viewers) for channel in self._channels.values())

    def join(self, view: View | None) -> Viewer | None:
        """Look at a view from now on; None when there are too many viewers, or views."""
        views = self._channels.keys() - {None}
        crowded = view not in {None, *views} and len(views) >= MOST_VIEWS
        if self._closed or crowded or self.viewers >= MOST_VIEWERS:
            return None
        channel = self._channels.setdefault(view, _Channel())
        viewer = Viewer()
        channel.viewers.add(viewer)
        # the trouble last: whoever hears of rows after it takes it to be over
        for message in (self._books, _rows(channel, channel.rows.values(), True), channel.overview, channel.trouble):
            if message is not None:
                viewer.put(message)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return viewer

    def leave(self, view: View | None, viewer: Viewer) -> None:
        """Look no more."""
        channel = self._channels.get(view)
        if channel is not None:
            channel.viewers.discard(viewer)
            if not channel.viewers:
                del self._channels[view]

    async def close(self) -> None:
        """Let every viewer go, and take no more."""
        self._closed = True
        for channel in self._channels.values():
            for viewer in channel.viewers:
                viewer.let_go()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        pause_s = self._every_s
        while self._channels:
            try:
                await self._look()
                pause_s = self._every_s
            except (SinkBusy, SinkRefused) as error:
                log.warning("page: %s", error)
                pause_s = min(2 * pause_s, max(MOST_PAUSE_S, self._every_s))
            except Exception:
                log.exception("page: the live view failed")  # it goes on: a bug in here must not stop it for good
            await asyncio.sleep(pause_s)
        self._books = None  # nobody has looked for a while: the next one gets no old news

    async def _look(self) -> None:
        """Tell what is new; raises the first error after all views that can be told of were."""
        try:
            latest_end = await self._reader.latest_end(self._base_s)
            self._books = _event("ingest", await self._ingest())
        except (SinkBusy, SinkRefused):
            for channel in self._channels.values():
                self._tell_trouble(channel)
            raise
        failed: SinkBusy | SinkRefused | None = None
        for view, channel in list(self._channels.items()):
            self._tell(channel, self._books)
            try:
                if view is not None:
                    await self._look_at(view, channel, latest_end)
                channel.trouble = None
            except (SinkBusy, SinkRefused) as error:  # one view's year must not keep the rows of another one's hour
                failed = failed or error
                self._tell_trouble(channel)
        if failed is not None:
            raise failed

    async def _look_at(self, view: View, channel: _Channel, latest_end: datetime | None) -> None:
        span = view.span(self._now(), latest_end)
        rows = {row["window_start"]: row for row in await self._reader.windows(view.size_s, *span[:2], MOST_WINDOWS)}
        changed = [row for start, row in rows.items() if channel.rows.get(start) != row]
        gone = any(span[0] <= start < span[1] and start not in rows for start in channel.rows)  # older than KPI_KEEP
        everything = gone or channel.span is None
        channel.stale = channel.stale or bool(changed) or gone or channel.span != span
        channel.span, channel.rows = span, rows
        # without news, too: it says that what is shown is still the truth
        self._tell(channel, _rows(channel, rows.values() if everything else changed, everything))
        last_s = channel.overview_at_s
        if channel.stale and (last_s is None or monotonic() - last_s >= OVERVIEW_EVERY_S):
            channel.overview_at_s, channel.stale = monotonic(), False
            try:
                overview = await self._reader.overview(*span[:2])
            except UserError:
                overview = {"tooMuch": True}
            except (SinkBusy, SinkRefused) as error:  # the rows are there all the same
                log.warning("page: no overview: %s", error)
                channel.stale = True
                return
            channel.overview = _event("overview", overview)
            self._tell(channel, channel.overview)

    async def _ingest(self) -> dict[str, Any]:
        books = await self._reader.ledger()
        ends = await _or_nothing(self._group.ends)
        partitions = with_lag(books, ends)
        return {"at": self._now(), "partitions": partitions, "workers": self._group.workers(), "here": self._group.url}

    def _tell(self, channel: _Channel, message: bytes | None) -> None:
        for viewer in channel.viewers:
            if message is not None:
                viewer.put(message)

    def _tell_trouble(self, channel: _Channel) -> None:
        if channel.trouble is None:
            channel.trouble = _event("trouble", {"since": self._now()})
            self._tell(channel, channel.trouble)


async def _or_nothing(ask: Callable[[], Awaitable[Mapping[int, int]]]) -> Mapping[int, int]:
    """The lag is left out while Kafka does not answer: the rest is to be seen all the same."""
    try:
        async with asyncio.timeout(ENDS_S):
            return await ask()
    except Exception as error:  # of the client, whatever it is
        log.info("page: the ends of the partitions are not known: %s", type(error).__name__)
        return {}


def view_of(size_s: int, range_s: int) -> View:
    """A view that there can be. Raises `AskDifferently`."""
    if range_s % size_s or range_s // size_s > MOST_WINDOWS:
        raise AskDifferently(f"range is 1 to {MOST_WINDOWS} windows of {size_s} seconds, in seconds")
    return View(size_s, range_s)


def _rows(channel: _Channel, rows: Any, everything: bool) -> bytes | None:
    if channel.span is None:
        return None
    start, end, follows = channel.span
    values = [[row[name] for name in COLUMNS] for row in rows]
    body = {"from": start, "to": end, "follows": follows, "all": everything, "columns": COLUMNS, "rows": values}
    return _event("rows", body)


def _event(name: str, body: object) -> bytes:
    """A server-sent event. JSON has no line break of its own, which would end it."""
    return _EVENT % (name.encode(), orjson.dumps(body, option=_JSON))
