"""Categorical: texts as numbers, which are quicker to group by and to look up than the texts themselves."""

import polars as pl


def categorical(values: pl.Series) -> pl.Series:
    """Number the distinct values of a column of text, with numbers of its own; any other column is given back."""
    # categories that all columns share would be kept for as long as the process lives, whoever sent them
    return values.cast(pl.Categorical(pl.Categories.random())) if values.dtype == pl.String else values
