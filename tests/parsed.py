"""What a parsed access line has besides time, status and size, for tests that count and do not parse."""

import polars as pl

from kpi_app.feeds.access_dimensions import DIMENSIONS

#: Columns to add: one visitor, no request time, and nothing to list by but the status.
MORE = {
    "request_time_us": pl.lit(None, dtype=pl.Int64),
    "is_bot": pl.lit(False),
    "visitor": pl.lit(1, dtype=pl.UInt64),
    **{f"by_{name}": pl.lit(None, dtype=pl.String) for name in DIMENSIONS},
    "by_status": pl.lit("200"),
}
