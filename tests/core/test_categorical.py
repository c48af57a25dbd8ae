"""Texts are found again by the numbers that stand for them."""

import polars as pl
import pytest

from kpi_app.core.categorical import categorical, numbers_and_texts


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
    other = categorical(pl.Series("w", values[::-1], dtype=pl.String))
    for some in (slice(None), slice(None, None, 3), slice(-1, None), slice(0)):
        rows = [column[some], other[some]]
        numbers, texts = numbers_and_texts(rows)
        for each, number, found in zip(rows, numbers, texts, strict=True):
            assert (number.name, found.name, found.dtype) == (each.name, each.name, pl.String)
            assert found.gather(number).to_list() == each.to_list()
            assert len(found) == (number.max() or 0) + (each.null_count() < len(each))


def test_what_is_no_text_stays_what_it_is() -> None:
    """Numbers need none."""
    numbers = pl.Series([3, None, 1])
    assert categorical(numbers) is numbers
