"""What was asked for, in words, becomes spans: for the command and the page alike."""

from datetime import datetime
from itertools import takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo

from kpi_app.core.windows import parse_duration, utc
from kpi_app.errors import UserError
from kpi_app.feeds.base import Feed
from kpi_app.report.spans import MOST_SPANS, Span, check_length, check_rows, days, in_days, step, whole
from kpi_app.report.unite import Asked
from kpi_app.sinks.claim import read_feed
from kpi_app.sinks.connect import Database
from kpi_app.sinks.read import extent, held_spans, held_steps

#: Values of a dimension that a report lists unless told otherwise, and at most.
TOP, MOST_TOP = 10, 1_000


class Wish(NamedTuple):
    """What was asked for: times in ISO 8601, a length such as 1h, a dimension; None where nothing was said."""

    start: str | None = None
    end: str | None = None
    window: str | None = None
    by: str | None = None
    top: int = TOP


async def resolve(wish: Wish, database: Database, feed: Feed, base_s: int, zone: ZoneInfo) -> tuple[Asked, list[int]]:
    """The spans of a report, and the sizes of the windows that it is made of, the base first.

    Without times it goes from the first stored window to the last; a time without a zone is one in `zone`. Before a
    worker has claimed the feed the base is `base_s`. Raises `UserError`, `SinkBusy` and `SinkRefused`.
    """
    start = time(wish.start, zone) if wish.start else None
    end = time(wish.end, zone) if wish.end else None
    sizes_s = await sizes(database, feed, base_s)
    if start is None or end is None:
        stored = await extent(database, feed, sizes_s[0])
        if stored is None:
            return Asked([], wish.by, wish.top), sizes_s
        start, end = start or stored[0], end or stored[1]
    span = whole(start, end, sizes_s[0])
    if wish.window is None:
        return Asked([span], wish.by, wish.top), sizes_s
    try:
        length_s = parse_duration(wish.window)
    except ValueError as error:
        raise UserError(str(error)) from None
    spans = await _rows(database, feed, span, length_s, sizes_s[0], zone)
    return Asked(spans, wish.by, wish.top), sizes_s


async def _rows(database: Database, feed: Feed, span: Span, length_s: int, base_s: int, zone: ZoneInfo) -> list[Span]:
    """The rows of a length in which there is a stored window: a line of long ago makes one row, not years of them."""
    check_length(length_s, base_s)
    stored = await extent(database, feed, base_s)
    if stored is None:
        return []
    async with database.session() as session:
        if in_days(length_s):
            rows = [*takewhile(lambda row: row.start_s < stored[1].timestamp(), days(span, length_s, base_s, zone))]
            held = await held_spans(session, feed, [base_s], rows)
        else:
            start, end = utc(span.start_s), utc(span.end_s)
            firsts = await held_steps(session, feed, base_s, start, end, length_s, MOST_SPANS + 1)
            held = [step(span, length_s, int(first.timestamp())) for first in firsts]
    check_rows(len(held))
    return held


async def sizes(database: Database, feed: Feed, base_s: int) -> list[int]:
    """The sizes of a feed's windows, the base first; before a worker has claimed the feed, `base_s` alone."""
    # as the feed has them: rows of other sizes may be there, but are corrected no more
    async with database.session() as session:
        held = await read_feed(session, feed)
    return list(held.windows_s) if held else [base_s]


def time(text: str, zone: ZoneInfo) -> datetime:
    """A date or a time in ISO 8601, as UTC, of the years 1970 to 9998. Raises `UserError`."""
    try:
        told = datetime.fromisoformat(text)
        if 1970 <= told.year <= 9998:
            return utc((told if told.tzinfo else told.replace(tzinfo=zone)).timestamp())
    except (ValueError, OverflowError):
        pass
    raise UserError(f"{text!a} is not a date or time such as 2026-01-31 or 2026-01-31T08:00Z")
