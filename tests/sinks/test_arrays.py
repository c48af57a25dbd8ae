"""Columns come to Postgres as arrays, value by value as they were."""

import polars as pl
import pytest

from kpi_app.core.groups import INT64_MAX
from kpi_app.sinks.arrays import literal
from tests.conftest import connected


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        [
            "a",
            "NULL",
            "null",
            " ",
            "  a ",
            ",",
            "{",
            "}",
            "{a,b}",
            '"',
            '""',
            "\\",
            '\\"',
            "\\\\",
            "\\x41",
            "'",
            "';--",
        ],
        ["\t", "\r\n", "\x01", "\x1b[2J", "\u202e", "é", "日本", "🚀", "%s", "$1"],
        ["x" * 100_000],
    ],
    ids=["none", "empty", "syntax", "characters", "long"],
)
async def test_texts_are_what_they_were(database: str, values: list[str]) -> None:
    """Whatever means something in the text of an array."""
    async with connected(database) as connection:
        given = literal(pl.Series(values, dtype=pl.String))
        assert await connection.fetchval("SELECT $1::text::text[]", given) == values


@pytest.mark.parametrize("dtype", [pl.Int32, pl.Int64])
async def test_whole_numbers_are_what_they_were(database: str, dtype: pl.DataType) -> None:
    """From the least to the largest."""
    most = 2**31 - 1 if dtype == pl.Int32 else INT64_MAX
    values = [0, -1, 1, most, -most - 1]
    async with connected(database) as connection:
        given = literal(pl.Series(values, dtype=dtype))
        assert await connection.fetchval("SELECT $1::text::bigint[]", given) == values
