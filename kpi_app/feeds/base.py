"""What a feed declares: one kind of record, its measures, and the row that people read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

import polars as pl

from kpi_app.core.aggregates import Measure, Value
from kpi_app.core.tops import Tops

#: Why a line could not be counted; the names appear in the dead letters and in the metrics.
REASONS = ("format", "time", "future", "encoding", "oversize", "json")

#: Any of a feed's formats, line by line.
AUTO = "auto"

#: The look that tells nothing apart: no text is in it.
NO_LOOK = r"[^\s\S]"

#: The columns of a feed's dimensions start with it.
BY = "by_"


@dataclass(frozen=True)
class Reading:
    """How the lines of a feed are read."""

    #: The one of `Feed.formats` that is accepted.
    log_format: str = AUTO
    #: Networks of the proxies whose word on who asked them is taken.
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    #: Whether the client's address is cut to its network; paths, sites and hosts are kept as they were sent.
    anonymise_ip: bool = True
    #: Makes the numbers that stand for visitors ones that nobody without it can compute.
    visitor_key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Feed:
    """One kind of record.

    `parse(lines, reading)` takes a frame with `line` (String, null where `reason` says why, or where the groups of
    `look` hold it), `reason` (String, null where the line is fine so far) and perhaps the groups of `look`, and returns
    it without these groups and `line`, and with `event_us` (Int64, microseconds since the epoch, null where rejected),
    `reason`, the columns that the measures need, and `by_<dimension>` (text) for each of the feed's dimensions: null
    where rejected or where the line's format has no such thing, `(none)` where it has but the line gives none, and
    safe to keep and to show, as `feeds/values.py` says. Rows keep their order and number.
    """

    name: str
    #: The table of whole windows, also the prefix of its companions.
    table: str
    #: Names that KPI_LOG_FORMAT takes, `auto` first.
    formats: tuple[str, ...]
    measures: tuple[Measure, ...]
    parse: Callable[[pl.DataFrame, Reading], pl.DataFrame]
    #: A line that is counted. Parsing it loads what parsing needs.
    example: str
    #: The columns of the row of a window, from its merged measures and its size in seconds.
    row: Callable[[Mapping[str, Value], int], dict[str, object]]
    #: Whole numbers over all lines of a window, from its merged measures: `requests` and the sums of the top lists.
    totals: Callable[[Mapping[str, Value]], dict[str, int]]
    #: A regex of lines as they stand in JSON text, without the quotes around them, in which nothing is escaped but
    #: quotes. Its groups are given to `parse` instead of such a line, by names of their own (not `line`, `reason`,
    #: `looked`, `offset`, `record_ms`, nor those of `feeds/places.py`). It saves time, and changes nothing.
    look: str = NO_LOOK
    #: The measure that is a `core.tops.Tops`: its lists become the table's companion `<table>_by`. None: there is none.
    tops: str | None = None

    @property
    def top_lists(self) -> Tops | None:
        """How the top lists accumulate."""
        kinds = [measure.aggregate for measure in self.measures if measure.name == self.tops]
        return kinds[0] if kinds and isinstance(kinds[0], Tops) else None

    def listed(self, many: Sequence[Mapping[str, Value]], top: int) -> pl.DataFrame:
        """Give the top lists of some windows, by their merged measures, as `Tops.listed` does."""
        if self.tops is None or self.top_lists is None:
            raise TypeError(f"feed {self.name!r} has no top lists")
        totals = pl.DataFrame([self.totals(values) for values in many])
        return self.top_lists.listed([values[self.tops] for values in many], totals, top)
