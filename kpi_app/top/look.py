"""One look at what is live: the rows, figures, books and lags that the page shows, read as it reads them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple, Self

from kpi_app.core.windows import format_duration
from kpi_app.errors import UserError
from kpi_app.web.lags import with_lag
from kpi_app.web.live import ENDS_S, MOST_WINDOWS, OVERVIEW_EVERY_S, View
from kpi_app.web.reader import PostgresReader

#: A Kafka that did not answer is left alone for so long: who reads Postgres only shall not wait for it at every look.
_KAFKA_PAUSE_S = 10.0

#: Asks Kafka for the ends of these partitions of the raw topic. Raises `UserError`.
Ends = Callable[[Sequence[int]], Awaitable[Mapping[int, int]]]


class Wish(NamedTuple):
    """What is to be seen: the latest `range_s`, in windows of `size_s` (None: the smallest that fit)."""

    range_s: int
    size_s: int | None = None


@dataclass(frozen=True)
class Look:
    """What was seen, and when."""

    at: datetime
    #: `[start, end)` in whole windows; `follows`: its end is `now`, or that of the `last` stored window.
    start: datetime
    end: datetime
    follows: str
    size_s: int
    #: The windows in it, in ascending order.
    rows: Sequence[Mapping[str, Any]]
    #: The span's figures and the `tops` of every dimension; None where it has no line, or too many windows to unite.
    overview: Mapping[str, Any] | None
    #: The books of each partition, with its `lag`: None where Kafka does not say.
    books: Sequence[Mapping[str, Any]]


class Looker:
    """Looks again and again. The figures that take work are as old as the page's."""

    def __init__(
        self,
        reader: PostgresReader,
        wish: Wish,
        ends: Ends,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reader = reader
        self._wish = wish
        self._ends = ends
        self._now = now
        self._kafka_from_s = 0.0
        self._overview: Mapping[str, Any] | None = None
        self._overview_of: object = None
        self._overview_at_s = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reader.close()

    async def look(self) -> Look:
        """Look once. Raises `SinkBusy`, `SinkRefused`, and `UserError` for windows that there are not."""
        sizes_s = await self._reader.sizes()
        view = _view(self._wish, sizes_s)
        start, end, follows = view.span(self._now(), await self._reader.latest_end(sizes_s[0]))
        rows = await self._reader.windows(view.size_s, start, end, MOST_WINDOWS)
        overview = await self._overviewed(start, end, rows)
        books = await self._reader.ledger()
        books = with_lag(books, await self._known_ends([row["partition"] for row in books]))
        return Look(self._now(), start, end, follows, view.size_s, rows, overview, books)

    async def _overviewed(
        self, start: datetime, end: datetime, rows: Sequence[Mapping[str, Any]]
    ) -> Mapping[str, Any] | None:
        seen = (start, end, rows)
        waited = self._overview_of is None or monotonic() - self._overview_at_s >= OVERVIEW_EVERY_S
        if seen != self._overview_of and waited:
            self._overview = None
            with contextlib.suppress(UserError):  # too much to unite: the rows are there all the same
                self._overview = await self._reader.overview(start, end)
            self._overview_of, self._overview_at_s = seen, monotonic()
        return self._overview

    async def _known_ends(self, partitions: Sequence[int]) -> Mapping[int, int]:
        if not partitions or monotonic() < self._kafka_from_s:
            return {}
        try:
            async with asyncio.timeout(ENDS_S):
                return await self._ends(partitions)
        except (TimeoutError, UserError):
            self._kafka_from_s = monotonic() + _KAFKA_PAUSE_S
            return {}


def _view(wish: Wish, sizes_s: Sequence[int]) -> View:
    """What is shown of the sizes that there are. Raises `UserError`."""
    fitting = [
        size_s for size_s in sizes_s if wish.range_s % size_s == 0 and 1 <= wish.range_s // size_s <= MOST_WINDOWS
    ]
    size_s = wish.size_s or min(fitting, default=0)
    if size_s in fitting:
        return View(size_s, wish.range_s)
    if wish.size_s is not None and wish.size_s not in sizes_s:
        there = ", ".join(map(format_duration, sizes_s))
        raise UserError(f"--window {format_duration(wish.size_s)}: one of {there}")
    windows = " or ".join(format_duration(size_s) for size_s in ([wish.size_s] if wish.size_s else sizes_s))
    raise UserError(f"--range {format_duration(wish.range_s)}: 1 to {MOST_WINDOWS} windows of {windows}, in whole ones")
