"""What a sink's stored state depends on, and the claim that it is still the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from kpi_app.core.windows import format_duration
from kpi_app.errors import UserError
from kpi_app.feeds.base import Feed
from kpi_app.sinks import queries
from kpi_app.sinks.connect import Session

_SQL = queries.load("claim")


@dataclass(frozen=True)
class Pace:
    """How long things are put off, seconds."""

    #: Top lists of an open base window: ten times KPI_EMIT_EVERY.
    tops_every_s: float = 10
    #: Larger windows, while a base window in them is open.
    larger_every_s: float = 60
    #: A closed row that did not change for this long is quiet: its segments are united.
    quiet_s: float = 600


@dataclass(frozen=True)
class Scope:
    """A feed as it is kept: where its records come from, its windows, when they close and how long they stay."""

    feed: Feed
    topic: str
    #: Size of the base windows.
    window_s: int
    grace_s: int
    #: The larger windows' sizes, each a multiple of the one before.
    larger_s: tuple[int, ...] = ()
    #: How many values of a dimension are listed.
    top: int = 100
    #: None: windows stay for ever.
    keep_s: int | None = None
    pace: Pace = Pace()

    @property
    def lock(self) -> str:
        """What the names of the advisory locks of its windows start with; their start follows."""
        return f"kpi_app/{self.topic}/"


class Held(NamedTuple):
    """What all workers of a feed go by, whatever each one's settings say; it stays so until the transaction ends."""

    #: Sizes of the windows, the base first.
    windows_s: tuple[int, ...]
    #: Windows that start before it are dropped.
    expired_before: datetime | None


async def claim(session: Session, scope: Scope) -> None:
    """Record topic and windows of a feed. Raises `UserError` when its state was made with another base or topic."""
    feed, sizes = scope.feed.name, [scope.window_s, *scope.larger_s]
    await session.execute(_SQL["claim_feed"], feed, scope.topic, sizes)
    for row in await session.fetch(_SQL["feeds_claimed"], feed, scope.topic):
        if row["feed"] != feed:
            raise UserError(
                f"KPI_TOPIC={scope.topic} is the topic of feed {row['feed']!r}, it can't be that of {feed!r}, too"
            )
        _same("KPI_TOPIC", scope.topic, row["topic"], feed)
        window, stored = format_duration(scope.window_s), format_duration(row["windows"][0])
        _same("the base of KPI_WINDOWS", window, stored, feed)
        if row["windows"] != sizes:
            await change_windows(session, scope, sizes)


async def change_windows(session: Session, scope: Scope, sizes: Sequence[int]) -> None:
    """Go by other larger windows from now on: new ones are filled, the rows of those that are no more stay."""
    await lock_feed(session, scope.feed)
    held = await read_feed(session, scope.feed)
    known = held.windows_s if held else ()
    await session.execute(_SQL["write_windows"], scope.feed.name, list(sizes))
    await session.execute(_SQL["forget_marks"], scope.topic, list(sizes))
    mark_all = _SQL["mark_all"].format(table=queries.identifiers([scope.feed.table]))
    for size_s in sizes[1:]:
        if size_s not in known:
            await session.execute(mark_all, scope.topic, size_s, scope.window_s)


async def hold(session: Session, feed: Feed) -> Held | None:
    """Hold a feed's sizes and horizon until the transaction ends; None when it was reset."""
    await session.execute(_SQL["hold_feed"], feed.name)
    # a statement of its own: it sees what was changed while the one before waited
    return await read_feed(session, feed)


async def lock_feed(session: Session, feed: Feed) -> None:
    """Wait for all that hold the feed: none goes by what its sizes and horizon were any more."""
    await session.execute(_SQL["lock_feed"], feed.name)


async def try_tidy(session: Session, feed: Feed) -> bool:
    """Whether no other worker tidies; if so, none does until the transaction ends."""
    return bool(await session.value(_SQL["try_tidy"], feed.name))


async def read_feed(session: Session, feed: Feed) -> Held | None:
    """A feed's sizes and horizon as they are now; None when it was reset."""
    rows = await session.fetch(_SQL["read_feed"], feed.name)
    return Held(tuple(rows[0]["windows"]), rows[0]["expired_before"]) if rows else None


def _same(what: str, asked: str, stored: str, feed: str) -> None:
    if asked != stored:
        raise UserError(
            f"{what} is {asked}, but what is stored of feed {feed!r} was made with {stored}: "
            f"set it back to {stored}, or forget the stored state with `kpi reset`"
        )
