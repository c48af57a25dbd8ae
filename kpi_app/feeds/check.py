"""Check: what a feed would make of a file's lines, with no Kafka and no Postgres."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import polars as pl

from kpi_app.core.aggregates import Value
from kpi_app.core.fold import TimeRules, fold
from kpi_app.core.merge import spanned
from kpi_app.core.segment import Segment, absorb, empty
from kpi_app.core.tops import OTHER
from kpi_app.core.windows import utc_us
from kpi_app.feeds.base import BY, Feed, Reading
from kpi_app.feeds.envelope import decode
from kpi_app.feeds.values import printable

#: Rejected lines that are kept to be shown, for each reason.
EXAMPLES = 3

#: Values of each dimension that are shown.
TOP = 5
_COUNTED = ("requests", "requests_error")

#: Characters of an example that are shown.
EXAMPLE_LENGTH = 200


class Example(NamedTuple):
    """A rejected line: its number, from 1, and its text, safe to print."""

    number: int
    text: str


@dataclass
class Rejects:
    """The lines that were rejected for one reason."""

    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, number: int, line: bytes) -> None:
        """Count one more line; keep it if it is among the first."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(Example(number, excerpt(line)))


class Top(NamedTuple):
    """A value of a dimension and the accepted lines that had it: at least so many where it is not exact."""

    value: str
    lines: int
    is_exact: bool


class Check:
    """What was found so far in the lines of one feed, in the order in which they would be sent."""

    def __init__(self, feed: Feed, reading: Reading, rules: TimeRules) -> None:
        self._feed = feed
        self._reading = reading
        self._rules = rules
        self._measures = feed.measures
        self._total: Segment = empty(self._measures)
        self._watermark_us: int | None = None
        self.lines = 0
        #: Accepted lines by format.
        self.formats: Counter[str] = Counter()
        #: Accepted lines that have no such thing, by dimension: not in their format, or under a name that is not read.
        self.lacking: Counter[str] = Counter()
        #: By reason.
        self.rejected: dict[str, Rejects] = {}

    def add(self, lines: Sequence[bytes], sent: Sequence[bytes] | None = None, sent_at: datetime | None = None) -> None:
        """Take in the next lines, without their line ends; at least one.

        `sent`: what Kafka would hold for each of them, where that is not the bare line. `sent_at`: the time that their
        records would have; without it nothing is rejected as `future`.
        """
        record_ms = None if sent_at is None else int(sent_at.timestamp() * 1_000)
        told = decode(lines if sent is None else sent, self._feed.look)
        parsed = self._feed.parse(told, self._reading).with_columns(
            offset=pl.int_range(self.lines, self.lines + len(lines), dtype=pl.Int64),
            record_ms=pl.lit(record_ms, dtype=pl.Int64),
        )
        folded = fold(parsed, self._watermark_us, self._rules, self._measures)
        self._watermark_us = folded.watermark_us
        for values in folded.parts.values():
            absorb(self._total, spanned(values, self._measures), self._measures)
        for offset, reason in folded.rejected:
            self.rejected.setdefault(reason, Rejects()).add(offset + 1, lines[offset - self.lines])
        refused = [offset for offset, _ in folded.rejected]
        accepted = parsed.filter(~pl.col("offset").is_in(refused))
        nulls = accepted.select(pl.col(f"^{BY}.*$").null_count())
        self.lacking.update({name.removeprefix(BY): nulls[name].item() for name in nulls.columns})
        self.formats.update(dict(accepted["format"].value_counts().iter_rows()))
        self.lines += len(lines)

    def tops(self) -> dict[str, list[Top]]:
        """The `TOP` values of each dimension with the most lines, equal ones by name; of what no line fills, none."""
        found: dict[str, list[Top]] = {}
        if self._feed.tops is not None:
            rows = self._feed.listed([self.totals], TOP).filter(pl.col("value") != OTHER)
            for dimension, value, lines, error in rows.select("dimension", "value", *_COUNTED).iter_rows():
                found.setdefault(dimension, []).append(Top(value, lines, error == 0))
        return found

    @property
    def rejected_share(self) -> float:
        """The share of the lines that was rejected, 0 to 1."""
        return sum(rejects.count for rejects in self.rejected.values()) / max(self.lines, 1)

    @property
    def row(self) -> dict[str, object]:
        """What a window of all lines would publish, by column; nothing that depends on its length is in it."""
        row = self._feed.row(self.totals, 1)
        return {name: value for name, value in row.items() if not name.endswith("per_second")}

    @property
    def totals(self) -> dict[str, Value]:
        """The feed's measures over all lines, by name."""
        return self._total.values

    @property
    def time_range(self) -> tuple[datetime, datetime] | None:
        """Earliest and latest event time; None while no line was accepted."""
        first_us, last_us = self.totals["first_event"], self.totals["last_event"]
        return None if first_us is None else (utc_us(first_us), utc_us(last_us))


def excerpt(line: bytes) -> str:
    """Make a line safe for a terminal: one row, cut, and nothing in it that moves the cursor or turns the text.

    Control and format characters (those that change the direction of writing among them) become U+FFFD.
    """
    text = line[: 4 * EXAMPLE_LENGTH].decode("utf-8", "replace")  # a character takes at most 4 bytes
    shown = printable(text[:EXAMPLE_LENGTH])
    return shown if len(text) <= EXAMPLE_LENGTH and len(line) <= 4 * EXAMPLE_LENGTH else shown + "…"
