"""What is counted of access lines, and the row that a window's counts make."""

from collections.abc import Mapping

import polars as pl

from kpi_app.core.aggregates import Count, CountBy, Max, Measure, Min, Peak, Sum, Value
from kpi_app.core.groups import INT64_MAX
from kpi_app.core.sketches import Distinct, bucket, estimate, quantile
from kpi_app.core.tops import Tops
from kpi_app.core.windows import US_PER_S, utc_us
from kpi_app.feeds.access_dimensions import DIMENSIONS
from kpi_app.feeds.base import BY

#: Status classes: 2 stands for 200 to 299.
_CLASSES = range(1, 6)

#: The quantiles of the request time that have a column, by its ending.
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}

_class = pl.col("status") // 100
_time = pl.col("request_time_us")
_errors = _class.is_in((4, 5)).fill_null(False).cast(pl.Int64)

PEAK = Peak(pl.col("second"))
TOPS = Tops({name: f"{BY}{name}" for name in DIMENSIONS}, {"bytes_sent": pl.col("bytes"), "errors": _errors})

#: Name of the measure that holds them.
TOP_LISTS = "tops"

MEASURES = (
    Measure("requests", Count()),
    Measure("late_requests", Count(pl.col("late"))),
    Measure("bytes_sent", Sum(pl.col("bytes"))),
    *(Measure(f"status_{n}xx", Count(_class == n)) for n in _CLASSES),
    Measure("status_other", Count(~_class.is_in(_CLASSES).fill_null(False))),
    Measure("bot_requests", Count(pl.col("is_bot"))),
    Measure("first_event", Min(pl.col("event_us"))),
    Measure("last_event", Max(pl.col("event_us"))),
    Measure("per_second", PEAK),
    Measure("visitors", Distinct(pl.col("visitor"))),
    Measure("request_time_us", Sum(_time)),
    Measure("request_time_max_us", Max(_time)),
    Measure("request_times", CountBy(bucket(_time))),
    Measure(TOP_LISTS, TOPS),
)


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
        "unique_visitors": estimate(values["visitors"]),
        **_request_times(values),
        "bot_requests": values["bot_requests"],
        "late_requests": values["late_requests"],
        "first_event": _aware(values["first_event"]),
        "last_event": _aware(values["last_event"]),
    }


def totals(values: Mapping[str, Value]) -> dict[str, int]:
    """Give what the values of each dimension add up to, in every additive column of `access_kpi_by`."""
    return {
        "requests": values["requests"],
        "bytes_sent": min(values["bytes_sent"], INT64_MAX),
        "errors": values["status_4xx"] + values["status_5xx"],
    }


def _request_times(values: Mapping[str, Value]) -> dict[str, float | None]:
    """Seconds; None where no line has a request time."""
    times, most_us = values["request_times"], values["request_time_max_us"]
    if most_us is None:
        return dict.fromkeys(f"request_time_{name}" for name in ("mean", *_QUANTILES, "max"))
    mean_us = values["request_time_us"] / sum(times.values())
    return {
        "request_time_mean": mean_us / US_PER_S,
        # a bucket's middle may lie above all that is in it
        **{
            f"request_time_{name}": min(quantile(times, share) or 0.0, most_us) / US_PER_S
            for name, share in _QUANTILES.items()
        },
        "request_time_max": most_us / US_PER_S,
    }


def _aware(event_us: int | None) -> object:
    return None if event_us is None else utc_us(event_us)
