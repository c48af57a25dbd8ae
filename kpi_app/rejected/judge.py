"""Judge: what would become of lines if they came again, by the settings in force here."""

from collections.abc import Sequence

import polars as pl

from kpi_app.core.fold import TimeRules, fold
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.envelope import decode
from kpi_app.settings import Settings


def judge(values: Sequence[bytes | None], times_ms: Sequence[int | None], settings: Settings) -> list[str | None]:
    """Give the reason for which each line would be rejected; None where it would count. At least one line.

    `times_ms`: of their records in Kafka; None or negative where they have none.
    """
    given = pl.Series(times_ms, dtype=pl.Int64)
    parsed = ACCESS.parse(decode(values, ACCESS.look), settings.reading).with_columns(
        offset=pl.int_range(len(values), dtype=pl.Int64),
        record_ms=given.set(given < 0, None),
    )
    # too late is for the worker to say: that depends on the lines before it
    rules = TimeRules(settings.base_window_s, settings.grace, settings.future_limit)
    reasons = dict(fold(parsed, None, rules, ACCESS.measures).rejected)
    return [reasons.get(number) for number in range(len(values))]
