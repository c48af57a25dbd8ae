"""Reached: whether the books of a partition are at its end, where that may be one that no books get to."""

from collections.abc import Mapping
from typing import Any

from kpi_app.sinks.postgres import LEASE_S
from kpi_app.stream.loops import WATCH_VALID_S


def is_read(row: Mapping[str, Any] | None, end: int, asked_s_ago: float) -> bool:
    """Whether a partition with this row of the ledger is read up to an end that was asked for so many seconds ago.

    The end may be behind the marker of a transaction, which is no line and in no books. But an idle partition has
    read everything up to where its owner last saw it end: that was after we asked, once a lease has gone by since.
    """
    if end == 0:
        return True
    if row is None:
        return False
    is_idle_since = row["idle"] and asked_s_ago > LEASE_S + WATCH_VALID_S
    return bool(row["next_offset"] >= end or is_idle_since)
