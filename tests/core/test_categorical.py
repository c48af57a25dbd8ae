"""Texts are found again by the numbers that stand for them."""

import polars as pl
import pytest

from kpi_app.core.categorical import categorical, texts


@pytest.mark.parametrize(
    "values",
    [
        [],
        [None],
        [None, None],
        ["a"],
        [""],
        ["b", None, "a", "b", "\x00", "ü", "a" * 1_000],
        [str(n % 700) for n in range(5_000)],
    ],
)
def test_each_number_finds_its_text(values: list[str | None]) -> None:
    """Of the whole column, and of some of its rows: these have the same numbers."""
    column = categorical(pl.Series("v", values, dtype=pl.String))
    for rows in (column, column[::3], column.tail(1), column.clear()):
        found = texts(rows)
        assert (found.name, found.dtype) == ("v", pl.String)
        assert found.gather(rows.to_physical()).to_list() == rows.to_list()
        assert len(found) == (rows.to_physical().max() or 0) + (rows.null_count() < len(rows))


def test_what_is_no_text_stays_what_it_is() -> None:
    """Numbers need none."""
    numbers = pl.Series([3, None, 1])
    assert categorical(numbers) is numbers
