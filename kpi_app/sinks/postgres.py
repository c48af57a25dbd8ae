"""Postgres as a sink: flush, merge and tidy, in short transactions on the connections of a small pool."""

from collections.abc import Sequence

from kpi_app.feeds.base import Feed
from kpi_app.sinks.base import Flush
from kpi_app.sinks.check import check_migrated
from kpi_app.sinks.claim import Pace, Scope, claim, try_tidy
from kpi_app.sinks.compact import compact_some
from kpi_app.sinks.connect import Database, Limits
from kpi_app.sinks.expire import expire_some
from kpi_app.sinks.flush import open_ledgers, write_checkpoint
from kpi_app.sinks.merge import merge_windows
from kpi_app.sinks.secret import key

#: For how long a partition that was flushed as idle counts as such.
LEASE_S = 15.0


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
        larger_s: Sequence[int] = (),
        top: int = 100,
        keep_s: int | None = None,
        pace: Pace = Pace(),  # noqa: B008  frozen
        lease_s: float = LEASE_S,
        limits: Limits | None = None,
    ) -> None:
        """Connect to nothing yet. A partition that was flushed as idle counts as such for `lease_s`.

        `larger_s`: sizes of the larger windows; `top`: how many values of a dimension are listed; `keep_s`: how long
        windows stay after their end, None for ever.
        """
        self.database = Database(dsn, limits)
        self.scope = Scope(feed, topic, window_s, grace_s, tuple(larger_s), top, keep_s, pace)
        self._lease_s = lease_s

    async def open(self) -> None:
        """Connect and claim the feed.

        Raises `UserError` where `kpi migrate` is to be run first, and when the feed's state was made with another
        topic or base window. Other larger windows are taken over: see `claim.change_windows`.
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
        """Unite what has changed and close what has been passed: of each size `merge.WINDOWS` at most.

        One transaction a size, the base first. Returns how many windows were looked at: 0 when nothing is left but
        what another worker is doing, and what is put off for its pace.
        """
        windows, level, is_last = 0, 0, False
        while not is_last:
            async with self.database.transaction() as session:
                looked, is_last = await merge_windows(session, self.scope, level)
            windows, level = windows + looked, level + 1
        return windows

    async def tidy(self) -> int:
        """Unite some of the segments that no line can reach any more, and drop some of what is older than `keep_s`.

        Two short transactions. Returns how much was done: 0 when nothing is left, or another worker is at it.
        """
        done = 0
        for step in (compact_some, expire_some):
            async with self.database.transaction() as session:
                if await try_tidy(session, self.scope.feed):
                    done += await step(session, self.scope)
        return done

    async def visitor_key(self) -> bytes:
        """The key of the hashes that tell visitors apart: made once, the same for all workers."""
        async with self.database.transaction() as session:
            return await key(session, "visitor")
