"""Access: the request lines of web servers, nginx's and Apache's."""

import polars as pl

from kpi_app.core.windows import US_PER_S
from kpi_app.feeds.access_dimensions import dimensions
from kpi_app.feeds.access_fields import GROUPS, TEXTS, tell_apart
from kpi_app.feeds.access_formats import ESCAPED, FORMATS
from kpi_app.feeds.access_measures import MEASURES, TOP_LISTS, row, totals
from kpi_app.feeds.base import AUTO, Feed, Reading

#: The first microsecond of the year 10000, which Python's datetime can't hold.
_END_US = 253_402_300_800_000_000

#: The longest request time, microseconds: over a hundred days.
MAX_REQUEST_TIME_US = 10**13

_SECONDS = r"^-?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,3})?$"

# Built once: it takes longer to say these than to do them to a small batch.
# The seconds of a time are added by themselves: texts without them recur, and are looked up instead of read.
_text = pl.col("time")
_minute = (_text.str.head(17) + _text.str.tail(6)).str.to_datetime("%d/%b/%Y:%H:%M %z", strict=False, time_unit="us")
_clock = _minute.dt.epoch("us") + _text.str.slice(18, 2).cast(pl.Int64, strict=False) * US_PER_S
_time = pl.coalesce("event_us", _clock)
_seconds = pl.col("request_time")
_took = pl.when(_seconds.str.contains(_SECONDS)).then(_seconds).cast(pl.Float64, strict=False) * 1e6
_READ = {
    "event_us": pl.when(_time.is_between(0, _END_US, closed="left")).then(_time),
    "format": pl.col("format"),
    "status": pl.col("status").cast(pl.Int16, strict=False),
    "bytes": pl.col("bytes").cast(pl.Int64, strict=False).fill_null(0),
    "request_time_us": _took.clip(0, MAX_REQUEST_TIME_US).round().cast(pl.Int64),
}
_READ_FROM = frozenset({"line", *GROUPS})
_FORMAT, _EVENT = pl.col("format"), pl.col("event_us")


def parse(lines: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    """Tell the fields of access lines apart, as `Feed.parse` says.

    Adds `event_us` (the time in the line), `format` (String: the one of `FORMATS` that the line is in),
    `status` (Int16, null for `-`), `bytes` (Int64, 0 for `-`), `request_time_us` (Int64, 0 to `MAX_REQUEST_TIME_US`,
    null where the line gives none), and the columns of `access_dimensions`. The reason is `format` for a line that
    can't be told apart or is in another format than the one asked for, and `time` for a time that no
    clock shows or that isn't in the years 1970 to 9999, UTC. Each line is judged alone, and naming a
    format changes nothing but which formats are rejected.
    """
    told = tell_apart(lines)
    others = [column for column in lines if column.name not in _READ_FROM]
    fits = _FORMAT.is_not_null() if reading.log_format == AUTO else _FORMAT.eq_missing(pl.lit(reading.log_format))
    why = pl.when(~fits).then(pl.lit("format")).when(_EVENT.is_null()).then(pl.lit("time"))
    judged = (
        told.select_seq(**_READ)
        .hstack(others)
        .select_seq(
            pl.exclude("reason", "event_us"),
            event_us=pl.when(fits).then(_EVENT),
            reason=pl.coalesce("reason", why),
        )
    )
    reasons = judged["reason"]
    kept = told if reasons.null_count() == len(told) else told.select(pl.when(reasons.is_null()).then(pl.col(TEXTS)))
    return judged.hstack(dimensions(kept, reading))


EXAMPLE = (
    '192.0.2.7 - - [31/Jan/2026:08:00:00 +0000] "GET /index.html HTTP/1.1" 200 5120 "https://example.org/" '
    '"Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0" "-"'
)

ACCESS = Feed(
    name="access",
    table="access_kpi",
    formats=(AUTO, *FORMATS),
    measures=MEASURES,
    parse=parse,
    look=ESCAPED,
    example=EXAMPLE,
    row=row,
    totals=totals,
    tops=TOP_LISTS,
)
