"""Columns as the text of Postgres arrays: made by polars, outside the GIL.

asyncpg encodes an array value by value, which for the lists of a replay took a fifth of a worker's time with the GIL.
"""

import polars as pl

# PostgreSQL, "Array Value Input": between quotes only these two mean something else.
_ESCAPES = {"\\": r"\\", '"': r"\""}


def literal(values: pl.Series) -> str:
    """The text of an array of whole numbers or texts without nulls, to be passed as a parameter and cast."""
    if values.dtype == pl.String:
        values = '"' + values.str.replace_many(_ESCAPES) + '"'
    return f"{{{values.cast(pl.String).str.join(',').item()}}}"
