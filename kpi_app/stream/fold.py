"""One batch through decode, parse and fold, in a thread: polars does it outside the GIL."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import polars as pl
from faust.types import TP

from kpi_app.core.fold import Folded, TimeRules, fold
from kpi_app.core.seen import SeenFile
from kpi_app.feeds.base import Feed, Reading
from kpi_app.feeds.envelope import decode_placed
from kpi_app.stream.bend import Record
from kpi_app.stream.deadletters import REPLAY_HEADER, DeadLetter

_offset = attrgetter("offset")

#: Stands in for a reason while a batch is folded: such a line is a duplicate, and no dead letter.
_COPY = "copy"


@dataclass(frozen=True)
class Folding:
    """What a batch is folded by."""

    feed: Feed
    reading: Reading
    rules: TimeRules


def fold_records(
    records: Sequence[Record],
    next_offset: int,
    watermark_us: int | None,
    by: Folding,
    where: TP,
    passed_us: int | None = None,
    birth: str = "",
    seen: Mapping[bytes, SeenFile] | None = None,
) -> tuple[Folded, list[DeadLetter]] | None:
    """Fold the records of a partition at or above `next_offset`; None when there are none.

    `birth`: of the partition's books.
    """
    first = next((i for i, record in enumerate(records) if record.offset >= next_offset), len(records))
    fresh = records[first:] if first else records
    if not fresh:
        return None
    lines, places = decode_placed([record.value for record in fresh], by.feed.look)
    parsed = by.feed.parse(lines, by.reading).hstack([_offsets(fresh), _times(fresh)])
    copies = [record.offset for record in fresh if record.headers and _is_copy(record, birth)]
    parsed = _without(parsed, copies)
    folded = fold(parsed, watermark_us, by.rules, by.feed.measures, passed_us, places, seen)
    rejected = [(offset, reason) for offset, reason in folded.rejected if reason != _COPY]
    folded.duplicates += len(folded.rejected) - len(rejected)
    folded.rejected = rejected
    return folded, _dead_letters(fresh, where, folded, by.reading)


def _is_copy(record: Record, birth: str) -> bool:
    """Whether it was sent through again for other books: these have read the line itself, too."""
    return any(name == REPLAY_HEADER and value != birth.encode() for name, value in record.headers)


def _without(parsed: pl.DataFrame, copies: list[int]) -> pl.DataFrame:
    """Parsed lines with the copies among them, by their offsets, as ones that do not count and move nothing."""
    if not copies:
        return parsed
    fine = ~pl.col("offset").is_in(copies)
    reason = pl.when(fine).then("reason").otherwise(pl.lit(_COPY))
    return parsed.with_columns(event_us=pl.when(fine).then("event_us"), reason=reason)


def _offsets(records: Sequence[Record]) -> pl.Series:
    """The records' offsets, ascending."""
    first, end = records[0].offset, records[-1].offset + 1
    if end - first == len(records):  # none is missing between them: nothing to look for
        return pl.Series("offset", np.arange(first, end, dtype=np.int64))
    return pl.Series("offset", [record.offset for record in records], dtype=pl.Int64)


def _times(records: Sequence[Record]) -> pl.Series:
    """The records' own times, milliseconds; null where the producer gave none."""
    given = pl.Series("record_ms", [record.timestamp for record in records], dtype=pl.Int64)
    return given.set(given < 0, None)


def _dead_letters(fresh: Sequence[Record], where: TP, folded: Folded, reading: Reading) -> list[DeadLetter]:
    if not folded.rejected:
        return []
    return [
        DeadLetter.of(where, offset, record.timestamp, reason, record.value, reading.anonymise_ip)
        for offset, reason in folded.rejected
        for record in [fresh[bisect_left(fresh, offset, key=_offset)]]
    ]
