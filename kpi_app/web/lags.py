"""Lags: how many records of each partition are not in Postgres yet."""

from collections.abc import Mapping, Sequence
from typing import Any


def with_lag(books: Sequence[Mapping[str, Any]], ends: Mapping[int, int]) -> list[dict[str, Any]]:
    """The books of each partition, with its `lag` behind its end in Kafka: None where that is not known."""
    return [{**row, "lag": _lag(row, ends.get(row["partition"]))} for row in books]


def _lag(row: Mapping[str, Any], end: int | None) -> int | None:
    if end is None:
        return None
    # The marker of a transaction is in the end and never in the books: an idle partition has read all there is.
    # Idle is a lease: lines that came since are behind as soon as the owner says so, or the lease is over.
    return 0 if row["idle"] else max(0, end - row["next_offset"])
