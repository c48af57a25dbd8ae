"""Tops: the top lists of windows become the rows of the companion table, those that changed."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from kpi_app.core.merge import Values
from kpi_app.sinks import queries
from kpi_app.sinks.arrays import literal
from kpi_app.sinks.claim import Scope
from kpi_app.sinks.connect import Session

_SQL = queries.load("tops")

#: Columns that tell the rows of a window apart, and the windows themselves.
_KEY = ("list", "dimension", "value")


async def write_tops(session: Session, scope: Scope, window_s: int, windows: Sequence[tuple[datetime, Values]]) -> None:
    """Publish the lists of windows of one size, given by start and measures."""
    rows = await asyncio.to_thread(scope.feed.listed, [values for _, values in windows], scope.top)
    columns = [name for name in rows.columns if name not in _KEY]
    sql = _SQL["write_tops"].format(
        table=queries.identifiers([f"{scope.feed.table}_by"]),
        columns=queries.identifiers(columns),
        arrays=", ".join(f"${number}::text::bigint[]" for number in range(7, 7 + len(columns))),
        old=queries.identifiers(columns, "old."),
        new=queries.identifiers(columns, "excluded."),
    )
    dimensions = sorted(set(rows["dimension"]))
    numbers = rows["dimension"].replace_strict(dimensions, range(1, len(dimensions) + 1), return_dtype=pl.Int32)
    arrays = (rows["list"].cast(pl.Int32) + 1, numbers, rows["value"], *(rows[name] for name in columns))
    await session.execute(sql, window_s, [start for start, _ in windows], dimensions, *map(literal, arrays))
