"""One batch through decode, parse and fold, in a thread: polars does it outside the GIL."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from faust.types import TP

from kpi_app.core.fold import Folded, TimeRules, fold
from kpi_app.core.seen import SeenFile
from kpi_app.feeds.base import Feed, Reading
from kpi_app.feeds.envelope import decode_placed
from kpi_app.stream.bend import Headers, Records
from kpi_app.stream.deadletters import REPLAY_HEADER, DeadLetter

#: Stands in for a reason while a batch is folded: such a line is a duplicate, and no dead letter.
_COPY = "copy"


@dataclass(frozen=True)
class Folding:
    """What a batch is folded by."""

    feed: Feed
    reading: Reading
    rules: TimeRules


def fold_records(
    records: Records,
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
    fresh = records.since(next_offset)
    if not len(fresh):
        return None
    lines, places = decode_placed(fresh.values, by.feed.look)
    parsed = by.feed.parse(lines, by.reading).hstack([_offsets(fresh), _times(fresh)])
    del lines  # the texts of a whole batch, of which no more is needed
    copies = [offset for offset, headers in fresh.headers.items() if _is_copy(headers, birth)]
    parsed = _without(parsed, copies)
    folded = fold(parsed, watermark_us, by.rules, by.feed.measures, passed_us, places, seen)
    rejected = [(offset, reason) for offset, reason in folded.rejected if reason != _COPY]
    folded.duplicates += len(folded.rejected) - len(rejected)
    folded.rejected = rejected
    return folded, _dead_letters(fresh, where, folded, by.reading)


def _is_copy(headers: Headers, birth: str) -> bool:
    """Whether a record was sent through again for other books: these have read the line itself, too."""
    return any(name == REPLAY_HEADER and value != birth.encode() for name, value in headers)


def _without(parsed: pl.DataFrame, copies: list[int]) -> pl.DataFrame:
    """Parsed lines with the copies among them, by their offsets, as ones that do not count and move nothing."""
    if not copies:
        return parsed
    fine = ~pl.col("offset").is_in(copies)
    reason = pl.when(fine).then("reason").otherwise(pl.lit(_COPY))
    return parsed.with_columns(event_us=pl.when(fine).then("event_us"), reason=reason)


def _offsets(records: Records) -> pl.Series:
    """The records' offsets, ascending."""
    first, end = records.offsets[0], records.offset + 1
    if end - first == len(records):  # none is missing between them: nothing to look for
        return pl.Series("offset", np.arange(first, end, dtype=np.int64))
    return pl.Series("offset", records.offsets, dtype=pl.Int64)


def _times(records: Records) -> pl.Series:
    """The records' own times, milliseconds; null where the producer gave none."""
    given = pl.Series("record_ms", records.times, dtype=pl.Int64)
    return given.set(given < 0, None)


def _dead_letters(fresh: Records, where: TP, folded: Folded, reading: Reading) -> list[DeadLetter]:
    if not folded.rejected:
        return []
    return [
        DeadLetter.of(where, offset, fresh.times[at], reason, fresh.values[at], reading.anonymise_ip)
        for offset, reason in folded.rejected
        for at in [bisect_left(fresh.offsets, offset)]
    ]
