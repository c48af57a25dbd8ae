"""Categorical: texts as numbers, which are quicker to group by and to look up than the texts themselves."""

import polars as pl


def categorical(values: pl.Series) -> pl.Series:
    """Number the distinct values of a column of text, with numbers of its own; any other column is given back."""
    # categories that all columns share would be kept for as long as the process lives, whoever sent them
    return values.cast(pl.Categorical(pl.Categories.random())) if values.dtype == pl.String else values


def texts(column: pl.Series) -> pl.Series:
    """Give the texts of a Categorical column by their numbers, up to the largest that is in it."""
    largest = column.to_physical().max()
    count = largest + 1 if isinstance(largest, int) else 0
    numbers = pl.Series(column.name, range(count), dtype=pl.UInt32)
    return numbers.cat.to(column.dtype).cast(pl.String)  # polars' own `to_series` asks for one text after the other
