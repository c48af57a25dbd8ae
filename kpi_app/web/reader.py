"""Rows for the pages, from Postgres, over connections of their own: readers must never hold up a flush."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from kpi_app.errors import UserError
from kpi_app.feeds.base import Feed
from kpi_app.report.ask import Wish, resolve, sizes
from kpi_app.report.unite import overview, report
from kpi_app.sinks import read
from kpi_app.sinks.connect import Database, Limits

#: Pages would rather say that the database is slow than wait for it. One connection for what is live, which asks one
#: question at a time, and one for the rest of the pages, which take turns.
_ROWS = Limits(connect_s=2, command_s=3, connections=2)

#: The probe's own, so that a crowd of readers does not make the worker look cut off from Postgres.
_PROBE = Limits(connect_s=2, command_s=3, connections=1)

#: Rows and values of a report that a worker makes beside its other work, and windows that it reads for it.
MOST_SPANS = 750
MOST_VALUES = 10_000
MOST_STATES = 3_000

#: Values of each dimension in an overview.
TOP = 12


class PostgresReader:
    """Reads one feed's rows. Connects when first asked."""

    def __init__(self, dsn: str, feed: Feed, topic: str, base_s: int, zone: ZoneInfo) -> None:
        self._feed = feed
        self._topic = topic
        self._base_s = base_s
        self._zone = zone
        self._rows = Database(dsn, _ROWS)
        self._probe = Database(dsn, _PROBE)

    async def ping(self) -> None:
        """Return when the books can be read, which needs the connection, the tables and the rights."""
        await read.ledger(self._probe, self._topic)

    async def sizes(self) -> Sequence[int]:
        """The sizes of the windows that there are, seconds, the base first."""
        return await sizes(self._rows, self._feed, self._base_s)

    async def windows(
        self, size_s: int, start: datetime | None, end: datetime | None, limit: int
    ) -> Sequence[Mapping[str, Any]]:
        """The latest `limit` rows of a size that start in `[start, end)`, oldest first."""
        return await read.windows(self._rows, self._feed, size_s, start, end, limit)

    async def report(self, wish: Wish) -> Sequence[Mapping[str, Any]]:
        """The rows of a report, united from stored windows."""
        asked, sizes_s = await resolve(wish, self._rows, self._feed, self._base_s, self._zone)
        if len(asked.spans) > MOST_SPANS or (asked.by and len(asked.spans) * asked.top > MOST_VALUES):
            raise UserError(f"that is more than {MOST_SPANS} rows or {MOST_VALUES:,} values: `kpi report` makes them")
        return await report(self._rows, self._feed, sizes_s, asked, MOST_STATES)

    async def top(self, size_s: int, start: datetime, dimension: str) -> Sequence[Mapping[str, Any]]:
        """The values of a dimension in one window, the heaviest first."""
        return await read.tops(self._rows, self._feed, size_s, start, dimension)

    async def latest_end(self, size_s: int) -> datetime | None:
        """Where the last stored window of a size ends; None when there is none."""
        stored = await read.extent(self._rows, self._feed, size_s)
        return None if stored is None else stored[1]

    async def overview(self, start: datetime, end: datetime) -> Mapping[str, Any] | None:
        """The row of a span and the top values of every dimension; None where no line is in it. Raises `UserError`."""
        wish = Wish(start.isoformat(), end.isoformat())
        asked, sizes_s = await resolve(wish, self._rows, self._feed, self._base_s, self._zone)
        return await overview(self._rows, self._feed, sizes_s, asked.spans[0], TOP, MOST_STATES)

    async def ledger(self) -> Sequence[Mapping[str, Any]]:
        """The books of each partition."""
        return await read.ledger(self._rows, self._topic)

    async def segments(self, partition: int, limit: int) -> Sequence[Mapping[str, Any]]:
        """The latest segments of a partition that are stored, newest window first."""
        return await read.segments(self._rows, self._topic, partition, limit)

    async def close(self) -> None:
        """Let go of every connection, within seconds. May be called twice."""
        await self._rows.close()
        await self._probe.close()
