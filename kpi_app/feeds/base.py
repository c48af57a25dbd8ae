"""What a feed declares: one kind of record, its measures, and the row that people read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from kpi_app.core.aggregates import Measure, Value

#: Why a line could not be counted; the names appear in the dead letters and in the metrics.
REASONS = ("format", "time", "future", "encoding", "oversize", "json")


@dataclass(frozen=True)
class Feed:
    """One kind of record.

    `parse(lines, log_format)` takes a frame with `line` (String, null where `reason` says why) and
    `reason` (String, null where the line is fine so far), and returns it without `line` and with
    `event_us` (Int64, microseconds since the epoch, null where rejected), `reason`, and the columns that
    the measures need. Rows keep their order and number.
    """

    name: str
    #: The table of whole windows, also the prefix of its companions.
    table: str
    #: Names that KPI_LOG_FORMAT takes, `auto` first.
    formats: tuple[str, ...]
    measures: tuple[Measure, ...]
    parse: Callable[[pl.DataFrame, str], pl.DataFrame]
    #: The columns of the row of a window, from its merged measures and its size in seconds.
    row: Callable[[Mapping[str, Value], int], dict[str, object]]
    #: Whole numbers over all lines of a window, from its merged measures: `requests` and the sums of the top lists.
    totals: Callable[[Mapping[str, Value]], dict[str, int]]
    #: The measure that is a `core.tops.Tops`: its lists become the table's companion `<table>_by`. None: there is none.
    tops: str | None = None
