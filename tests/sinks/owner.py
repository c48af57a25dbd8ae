"""Owners of source partitions, with the real fold and state, and a dict for the table that holds checkpoints."""

from collections.abc import Callable, Iterable

import polars as pl

from kpi_app.core.fold import TimeRules, fold
from kpi_app.core.segment import SegmentKey
from kpi_app.core.state import PartitionState
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.base import Feed
from kpi_app.sinks.base import Flush, StoredSegment
from tests.parsed import MORE

#: An exact minute in 2023, epoch seconds; the clock is past all windows of these tests.
T0 = 1_700_000_040

TOPIC = "access-log"
RULES = TimeRules(window_s=60, grace_s=60, future_limit_s=60)


class Owner:
    """Reads lines at given times, seconds after T0, and makes checkpoints of them."""

    def __init__(self, partition: int = 0, topic: str = TOPIC, feed: Feed = ACCESS) -> None:
        self._topic, self._partition = topic, partition
        self._table: dict[SegmentKey, bytes] = {}
        self._measures = feed.measures
        self.state = PartitionState(RULES, feed.measures, self._table.__getitem__)

    def read(self, *times_s: float) -> "Owner":
        """Lines, in offset order; each of 10 bytes and status 200, of a path and client by their offset."""
        lines = pl.DataFrame(
            {"event_us": [int((T0 + time_s) * 1_000_000) for time_s in times_s]}, schema={"event_us": pl.Int64}
        ).with_columns(
            offset=pl.int_range(pl.len(), dtype=pl.Int64) + self.state.ledger.next_offset,
            record_ms=pl.lit(None, dtype=pl.Int64),
            reason=pl.lit(None, dtype=pl.String),
            status=pl.lit(200, dtype=pl.Int16),
            bytes=pl.lit(10, dtype=pl.Int64),
            **MORE,
        )
        number = pl.col("offset").cast(pl.String)
        lines = lines.with_columns(  # top lists of few and of many values
            by_path="/" + (pl.col("offset") % 5).cast(pl.String),
            by_client="10.0.0." + number,
            by_status=pl.lit(None, dtype=pl.String),
            visitor=pl.col("offset").hash(seed=0),
        )
        self.state.apply(
            fold(lines, self.state.ledger.watermark_us, RULES, self._measures, self.state.ledger.passed_us)
        )
        return self

    def checkpoint(self, *, idle: bool = False) -> Flush:
        """All that was read, committed, on its way to the sink."""
        if taken := self.state.checkpoint():
            self._table.update(taken.puts)
            self.state.commit(taken)
        dropped = self.state.committed.dropped if self.state.committed else -1
        return Flush(
            self._topic, self._partition, self.state.ledger, self.state.flushed, dropped, idle=idle, since=self._since()
        )

    def _since(self) -> Callable[[int], Iterable[StoredSegment]]:
        now = [StoredSegment(key, *live, self._table[key]) for key, live in self.state.live.items()]
        return lambda offset: (segment for segment in now if segment.offset > offset)
