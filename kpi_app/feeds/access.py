"""Access: the request lines of web servers, nginx's and Apache's."""

from collections.abc import Mapping

import polars as pl

from kpi_app.core.aggregates import INT64_MAX, Count, Max, Measure, Min, Peak, Sum, Value
from kpi_app.core.windows import utc_us
from kpi_app.feeds.access_formats import COMBINED, COMBINED_XFF, COMMON, FORMATS, LENIENT, STRICT, TIME
from kpi_app.feeds.base import Feed

#: Any of the formats, line by line.
AUTO = "auto"

#: The first microsecond of the year 10000, which Python's datetime can't hold.
_END_US = 253_402_300_800_000_000

#: Status classes: 2 stands for 200 to 299.
_CLASSES = range(1, 6)


# Built once: it takes longer to say these than to do them to a small batch.
_time = pl.col("time").str.to_datetime("%d/%b/%Y:%H:%M:%S %z", strict=False, time_unit="us").dt.epoch("us")
_READ = {
    "event_us": pl.when(_time.is_between(0, _END_US, closed="left")).then(_time),
    # how far the line reaches
    "format": pl.when(pl.col(COMBINED_XFF).is_not_null())
    .then(pl.lit(COMBINED_XFF))
    .when(pl.col(COMBINED).is_not_null())
    .then(pl.lit(COMBINED))
    .when(pl.col("time").is_not_null())
    .then(pl.lit(COMMON)),
    "status": pl.col("status").cast(pl.Int16, strict=False),
    "bytes": pl.col("bytes").cast(pl.Int64, strict=False).fill_null(0),
}


def parse(lines: pl.DataFrame, log_format: str) -> pl.DataFrame:
    """Tell the fields of access lines apart, as `Feed.parse` says.

    Adds `event_us` (the time in the line), `format` (String: the one of `FORMATS` that the line is in),
    `status` (Int16, null for `-`) and `bytes` (Int64, 0 for `-`). The reason is `format` for a line that
    can't be told apart or is in another format than the one asked for, and `time` for a time that no
    clock shows or that isn't in the years 1970 to 9999, UTC. Each line is judged alone, and naming a
    format changes nothing but which formats are rejected.
    """
    told = _tell_apart(lines).with_columns(**_READ)
    fits = pl.col("format").is_not_null() if log_format == AUTO else pl.col("format").eq_missing(log_format)
    why = pl.when(~fits).then(pl.lit("format")).when(pl.col("event_us").is_null()).then(pl.lit("time"))
    return told.select(
        pl.exclude("line", "reason", "event_us", "time", COMBINED, COMBINED_XFF),
        reason=pl.coalesce("reason", why),
        event_us=pl.when(fits).then("event_us"),
    )


def _tell_apart(lines: pl.DataFrame) -> pl.DataFrame:
    """Add the captured fields and the marks; all are null in a line that neither look tells apart."""
    strict = lines["line"].str.extract_groups(STRICT).struct.unnest()
    missed = strict["time"].is_null() & lines["line"].is_not_null()
    if not missed.any():
        return lines.hstack(strict)
    # nulls cost nothing: the second look is at the missed lines alone
    rest = lines.select(pl.when(missed).then("line").alias("line"))["line"]
    lenient = rest.str.extract_groups(LENIENT).struct.unnest().with_columns(time=_readable_time())
    told = [pl.when(missed).then(lenient[name]).otherwise(name).alias(name) for name in strict.columns]
    return lines.hstack(strict.select(told))


def _readable_time() -> pl.Expr:
    """Keep the time, or an empty text where the second look took something else for it."""
    time = pl.col("time")
    return pl.when(time.str.contains(f"^(?:{TIME})$")).then(time).when(time.is_not_null()).then(pl.lit(""))


def row(values: Mapping[str, Value], window_s: int) -> dict[str, object]:
    """Give the columns of `access_kpi` that a window's measures make; times are timezone-aware."""
    requests = values["requests"]
    return {
        "requests": requests,
        "requests_per_second": requests / window_s,
        "peak_requests_per_second": PEAK.span(values["per_second"]),
        "bytes_sent": min(values["bytes_sent"], INT64_MAX),
        **{f"status_{n}xx": values[f"status_{n}xx"] for n in _CLASSES},
        "status_other": values["status_other"],
        "late_requests": values["late_requests"],
        "first_event": _aware(values["first_event"]),
        "last_event": _aware(values["last_event"]),
    }


def totals(values: Mapping[str, Value]) -> dict[str, int]:
    """Give what `access_kpi_by` adds up to in each dimension of a window."""
    errors = values["status_4xx"] + values["status_5xx"]
    return {"requests": values["requests"], "bytes_sent": min(values["bytes_sent"], INT64_MAX), "errors": errors}


def _aware(event_us: int | None) -> object:
    return None if event_us is None else utc_us(event_us)


_status_class = pl.col("status") // 100

PEAK = Peak(pl.col("second"))

ACCESS = Feed(
    name="access",
    table="access_kpi",
    formats=(AUTO, *FORMATS),
    measures=(
        Measure("requests", Count()),
        Measure("late_requests", Count(pl.col("late"))),
        Measure("bytes_sent", Sum(pl.col("bytes"))),
        *(Measure(f"status_{n}xx", Count(_status_class == n)) for n in _CLASSES),
        Measure("status_other", Count(~_status_class.is_in(_CLASSES).fill_null(False))),
        Measure("first_event", Min(pl.col("event_us"))),
        Measure("last_event", Max(pl.col("event_us"))),
        Measure("per_second", PEAK),
    ),
    parse=parse,
    row=row,
    totals=totals,
)
