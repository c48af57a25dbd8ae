"""Distinct: what takes time is done once for each distinct text of a batch, and found again by number."""

from collections.abc import Callable

import polars as pl

from kpi_app.core.categorical import categorical, texts


def for_each(values: pl.Series, answer: Callable[[pl.Series], pl.DataFrame]) -> pl.DataFrame:
    """Give the columns that `answer` makes of each text (String), null where that is null.

    It is asked once, for the distinct texts, none of which is null. Columns of text are Categorical.
    """
    numbered = categorical(values)
    distinct = texts(numbered)
    found = pl.DataFrame([categorical(column) for column in answer(distinct)])
    if not len(distinct):
        return found.clear(len(values))  # as many nulls
    return found.select(pl.all().gather(numbered.to_physical()))
