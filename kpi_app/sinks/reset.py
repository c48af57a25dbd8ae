"""Reset: forget all that is stored of a feed."""

from collections.abc import Callable

from kpi_app.errors import SinkBusy, SinkRefused, UserError
from kpi_app.feeds.base import Feed
from kpi_app.sinks import queries
from kpi_app.sinks.connect import Database, Limits

_SQL = queries.load("reset")

#: Tables that all feeds share, in the order in which flush and merge lock them.
_SHARED = ("ingest_ledger", "segment", "dirty_window", "source_file")

#: Told, before each table, how many of how many are done, and its name.
OnTable = Callable[[int, int, str], None]


async def reset(
    dsn: str, feed: Feed, limits: Limits | None = None, told: OnTable = lambda done, total, table: None
) -> None:
    """Delete a feed's books, segments, marks, rows and claim, in one transaction.

    The keys in `kpi_secret` stay, so that visitors stay comparable. Its workers should be stopped. `told` hears which
    table is next. Raises `UserError` when Postgres can't be used.
    """
    table = queries.identifiers([feed.table])
    forgotten = [*_SHARED, feed.table, f"{feed.table}_by"]
    try:
        # as long as it takes: millions of rows may go
        async with Database(dsn, limits or Limits(command_s=None)) as database, database.transaction() as session:
            await session.execute(_SQL["lock_tables"].format(table=table))
            topic = await session.value(_SQL["claimed_topic"], feed.name)
            for done, name in enumerate(forgotten):
                told(done, len(forgotten), name)
                if name in _SHARED:
                    await session.execute(_SQL["forget"].format(shared=name), topic)
                else:
                    await session.execute(_SQL["forget_rows"].format(table=queries.identifiers([name])))
            await session.execute(_SQL["forget_feed"], feed.name)
    except (SinkBusy, SinkRefused) as error:
        raise UserError(str(error)) from error
