"""A Postgres that sinks write to, and an independent look at what they wrote."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg

from kpi_app.feeds.access import ACCESS
from kpi_app.sinks.claim import Pace
from kpi_app.sinks.postgres import PostgresSink
from tests.sinks.owner import RULES, T0, TOPIC

#: Nothing is put off.
AT_ONCE = Pace(tops_every_s=0, larger_every_s=0, quiet_s=0)


class Store:
    """What the contract asks of a store, with Postgres under it."""

    def __init__(self, dsn: str, eye: asyncpg.Connection) -> None:
        self.dsn = dsn
        #: A connection of the test itself.
        self.eye = eye
        self._sinks: list[PostgresSink] = []

    def unopened(self, **changes: Any) -> PostgresSink:
        """A sink of this store as the tests' settings have it."""
        settings: dict[str, Any] = {"topic": TOPIC, "window_s": RULES.window_s, "grace_s": RULES.grace_s}
        settings |= {"pace": AT_ONCE} | changes
        sink = PostgresSink(self.dsn, settings.pop("feed", ACCESS), **settings)
        self._sinks.append(sink)
        return sink

    async def sink(self, *, lease_s: float = 60, **changes: Any) -> PostgresSink:
        """One more worker's sink."""
        sink = self.unopened(lease_s=lease_s, **changes)
        await sink.open()
        return sink

    async def rows(self, size_s: int = RULES.window_s) -> dict[float, dict[str, Any]]:
        """The rows of a size by the start of their windows, seconds after T0."""
        rows = await self.eye.fetch("SELECT * FROM access_kpi WHERE window_seconds = $1 ORDER BY window_start", size_s)
        return {row["window_start"].timestamp() - T0: dict(row) for row in rows}

    async def differences(self) -> list[str]:
        """What is not conserved between books and segments."""
        rows = await self.eye.fetch("SELECT * FROM conservation WHERE difference <> 0 AND partition IS NOT NULL")
        return list(map(str, rows))

    async def next_offset(self, partition: int) -> int:
        """How far the books of a partition are."""
        sql = "SELECT next_offset FROM ingest_ledger WHERE partition = $1"
        return int(await self.eye.fetchval(sql, partition))

    async def stored(self) -> int:
        """How many rows there are in all tables together."""
        tables = ("kpi_feed", "ingest_ledger", "segment", "dirty_window", "access_kpi", "access_kpi_by")
        return sum([len(await self.eye.fetch(f"TABLE {table}")) for table in tables])

    async def until(self, sql: str, *parameters: object) -> None:
        """Return when the value of a query is true."""
        async with asyncio.timeout(30):
            while not await self.eye.fetchval(sql, *parameters):
                pass

    async def end_sessions(self) -> None:
        """End every connection of the sinks, as an administrator may."""
        await self.eye.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'kpi_app' AND datname = current_database()"
        )

    async def close(self) -> None:
        """Close what was opened."""
        for sink in self._sinks:
            await sink.close()
        await self.eye.close()


async def settle(*sinks: PostgresSink) -> None:
    """Merge until nothing is left."""
    while any([await sink.merge() for sink in sinks]):
        pass


def at(time_s: float) -> datetime:
    """Seconds after T0."""
    return datetime.fromtimestamp(T0 + time_s, UTC)
