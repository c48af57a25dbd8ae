"""Distinct: what takes time is done once for each distinct text of a batch, and found again by number."""

from collections.abc import Callable, Sequence

import polars as pl

from kpi_app.core.categorical import categorical, numbers_and_texts

#: Makes columns of distinct texts, none of which is null.
Answer = Callable[[pl.Series], pl.DataFrame]


def for_each(asked: Sequence[tuple[pl.Series, Answer]]) -> list[pl.DataFrame]:
    """Give the columns that each answer makes of its texts (String, all of one length, by different names).

    It is asked once, for the distinct texts; a row is null where the text is. Columns of text are Categorical.
    """
    numbers, texts = numbers_and_texts([categorical(values) for values, _ in asked])
    return [
        _spread(answer(distinct), number) for (_, answer), distinct, number in zip(asked, texts, numbers, strict=True)
    ]


def _spread(found: pl.DataFrame, number: pl.Series) -> pl.DataFrame:
    columns = pl.DataFrame([categorical(column) for column in found])
    return columns[number] if len(columns) else columns.clear(len(number))  # as many nulls
