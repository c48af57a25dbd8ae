"""Postgres as a sink: flush and merge, each call one transaction on a connection of a small pool."""

from kpi_app.feeds.base import Feed
from kpi_app.sinks.base import Flush
from kpi_app.sinks.check import check_migrated
from kpi_app.sinks.claim import Scope, claim
from kpi_app.sinks.connect import Database, Limits
from kpi_app.sinks.flush import open_ledgers, write_checkpoint
from kpi_app.sinks.merge import merge_windows


class PostgresSink:
    """Keeps one feed in Postgres, as `Sink` says. Any number of workers may do so at once."""

    def __init__(
        self,
        dsn: str,
        feed: Feed,
        *,
        topic: str,
        window_s: int,
        grace_s: int,
        lease_s: float = 15,
        limits: Limits | None = None,
    ) -> None:
        """Connect to nothing yet. A partition that was flushed as idle counts as such for `lease_s`."""
        self.database = Database(dsn, limits)
        self.scope = Scope(feed, topic, window_s, grace_s)
        self._lease_s = lease_s

    async def open(self) -> None:
        """Connect and claim the feed.

        Raises `UserError` where `kpi migrate` is to be run first, and when the feed's state was made with another
        topic or base window.
        """
        async with self.database.transaction() as session:
            await check_migrated(session)
            await claim(session, self.scope)

    async def close(self) -> None:
        """Let go of every connection, within seconds."""
        await self.database.close()

    async def ping(self) -> None:
        """Return when Postgres answers."""
        async with self.database.session() as session:
            await session.execute("SELECT 1")

    async def expect(self, topic: str, partitions: int) -> None:
        """Open the books of each partition of the topic: a window closes when all of them have passed it."""
        async with self.database.transaction() as session:
            await open_ledgers(session, topic, range(partitions))

    async def flush(self, flush: Flush) -> int:
        """Bring a checkpoint there, in one transaction; returns the greatest offset that Postgres holds now."""
        async with self.database.transaction() as session:
            return await write_checkpoint(session, flush, self.scope.window_s, self._lease_s)

    async def merge(self) -> int:
        """Unite what has changed and close what has been passed, in one transaction, `merge.WINDOWS` at most.

        Returns how many windows were looked at: 0 when nothing is left but what another worker is doing.
        """
        async with self.database.transaction() as session:
            return await merge_windows(session, self.scope)
