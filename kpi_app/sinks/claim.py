"""What a sink's stored state depends on, and the claim that it is still the same."""

from dataclasses import dataclass

from kpi_app.core.windows import format_duration
from kpi_app.errors import UserError
from kpi_app.feeds.base import Feed
from kpi_app.sinks import queries
from kpi_app.sinks.connect import Session

_SQL = queries.load("claim")


@dataclass(frozen=True)
class Scope:
    """A feed as it is kept: where its records come from and when its base windows close."""

    feed: Feed
    topic: str
    window_s: int
    grace_s: int


async def claim(session: Session, scope: Scope) -> None:
    """Record topic and base window of a feed. Raises `UserError` when its state was made with others."""
    feed = scope.feed.name
    await session.execute(_SQL["claim_feed"], feed, scope.topic, scope.window_s)
    for row in await session.fetch(_SQL["feeds_claimed"], feed, scope.topic):
        if row["feed"] != feed:
            raise UserError(
                f"KPI_TOPIC={scope.topic} is the topic of feed {row['feed']!r}, it can't be that of {feed!r}, too"
            )
        _same("KPI_TOPIC", scope.topic, row["topic"], feed)
        window, stored = format_duration(scope.window_s), format_duration(row["window_seconds"])
        _same("the base of KPI_WINDOWS", window, stored, feed)


def _same(what: str, asked: str, stored: str, feed: str) -> None:
    if asked != stored:
        raise UserError(
            f"{what} is {asked}, but what is stored of feed {feed!r} was made with {stored}: "
            f"set it back to {stored}, or forget the stored state with `kpi reset`"
        )
