"""Lags: how many records of each partition are not in Postgres yet."""

from collections.abc import Mapping, Sequence
from typing import Any


def with_lag(books: Sequence[Mapping[str, Any]], ends: Mapping[int, int]) -> list[dict[str, Any]]:
    """The books of each partition, with its `lag` behind its end in Kafka: None where that is not known."""
    return [
        {**row, "lag": None if (end := ends.get(row["partition"])) is None else max(0, end - row["next_offset"])}
        for row in books
    ]
