"""Reset: forget all that is stored of a feed."""

from kpi_app.errors import SinkBusy, SinkRefused, UserError
from kpi_app.feeds.base import Feed
from kpi_app.sinks import queries
from kpi_app.sinks.connect import Database, Limits

_SQL = queries.load("reset")

#: Tables that all feeds share, in the order in which flush and merge lock them.
_SHARED = ("ingest_ledger", "segment", "dirty_window")


async def reset(dsn: str, feed: Feed, limits: Limits | None = None) -> None:
    """Delete a feed's books, segments, marks, rows and claim, in one transaction.

    The keys in `kpi_secret` stay, so that visitors stay comparable. Its workers should be stopped.
    Raises `UserError` when Postgres can't be used.
    """
    table = queries.identifiers([feed.table])
    try:
        async with Database(dsn, limits) as database, database.transaction() as session:
            await session.execute(_SQL["lock_tables"].format(table=table))
            topic = await session.value(_SQL["claimed_topic"], feed.name)
            for shared in _SHARED:
                await session.execute(_SQL["forget"].format(shared=shared), topic)
            for rows in (table, queries.identifiers([f"{feed.table}_by"])):
                await session.execute(_SQL["forget_rows"].format(table=rows))
            await session.execute(_SQL["forget_feed"], feed.name)
    except (SinkBusy, SinkRefused) as error:
        raise UserError(str(error)) from error
