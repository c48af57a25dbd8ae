"""One batch through decode, parse and fold, in a thread: polars does it outside the GIL."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from kpi_app.core.fold import Folded, TimeRules, fold
from kpi_app.feeds.base import Feed
from kpi_app.feeds.envelope import decode
from kpi_app.stream.deadletters import DeadLetter


@dataclass(frozen=True)
class Folding:
    """What a batch is folded by."""

    feed: Feed
    log_format: str
    rules: TimeRules


def fold_records(
    records: list[Any], next_offset: int, watermark_us: int | None, by: Folding
) -> tuple[Folded, list[DeadLetter]] | None:
    """Fold the records at or above `next_offset`; None when there are none. Pure, but for its length."""
    first = next((i for i, record in enumerate(records) if record.offset >= next_offset), len(records))
    fresh = records[first:] if first else records
    if not fresh:
        return None
    lines = decode([record.value for record in fresh])
    parsed = by.feed.parse(lines, by.log_format).with_columns(
        offset=pl.Series([record.offset for record in fresh], dtype=pl.Int64),
        record_ms=pl.Series([_time_ms(record) for record in fresh], dtype=pl.Int64),
    )
    folded = fold(parsed, watermark_us, by.rules, by.feed.measures)
    return folded, _dead_letters(fresh, folded)


def _time_ms(record: Any) -> int | None:
    """The record's own time; None where the producer gave none (-1)."""
    timestamp: int | None = record.timestamp
    return timestamp if timestamp is not None and timestamp >= 0 else None


def _dead_letters(fresh: list[Any], folded: Folded) -> list[DeadLetter]:
    if not folded.rejected:
        return []
    by_offset = {record.offset: record for record in fresh}
    return [
        DeadLetter(record.topic, record.partition, offset, _time_ms(record), reason, record.value)
        for offset, reason in folded.rejected
        for record in [by_offset[offset]]
    ]
