"""Categorical: texts as numbers, which are quicker to group by and to look up than the texts themselves."""

from collections.abc import Sequence

import polars as pl


def categorical(values: pl.Series) -> pl.Series:
    """Number the distinct values of a column of text, with numbers of its own; any other column is given back."""
    # categories that all columns share would be kept for as long as the process lives, whoever sent them
    return values.cast(pl.Categorical(pl.Categories.random())) if values.dtype == pl.String else values


def numbers_and_texts(columns: Sequence[pl.Series]) -> tuple[pl.DataFrame, list[pl.Series]]:
    """Give the numbers (UInt32) of Categorical columns of one length, and the texts by number, up to the largest there.

    All columns in two queries: each has its price, however short they are.
    """
    numbers = pl.DataFrame(columns).select_seq(pl.all().to_physical())
    asked = zip(columns, (column.max() for column in numbers), strict=True)
    # polars' own `to_series` asks for one text after the other
    found = pl.DataFrame().select_seq(_texts(column, largest).implode() for column, largest in asked)
    return numbers, [texts[0].alias(texts.name) for texts in found]


def _texts(column: pl.Series, largest: object) -> pl.Expr:
    count = largest + 1 if isinstance(largest, int) else 0
    return pl.int_range(count, dtype=pl.UInt32).cat.to(column.dtype).cast(pl.String).alias(column.name)
