"""Sketches: distinct values and quantiles in little room, united without loss.

Both are the same whatever the order and grouping of the lines, up to their bounds.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import polars as pl
from datasketches import hll_sketch, hll_union, tgt_hll_type

from kpi_app.core.aggregates import Plain, Value
from kpi_app.core.groups import INT64_MAX

#: 2 ** 14 registers: a standard error of 0.8 %; below 100 values the estimate is exact.
LG_K = 14

#: Quantiles are within this share of the value at their rank; a little less than the promised 0.01.
ACCURACY = 0.0095
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LN_GAMMA = log(_GAMMA)

#: The bucket of zeros, which have no logarithm.
_ZEROS = -1


@dataclass(frozen=True)
class Distinct(Plain):
    """How many different hashes (UInt64, null counts as none) there are: HyperLogLog of Apache DataSketches."""

    of: pl.Expr

    def over(self) -> pl.Expr:
        return self.of.drop_nulls().unique()

    def lift(self, cell: Sequence[int]) -> Value:
        sketch = hll_sketch(LG_K)
        for hashed in cell:  # what no Int64 holds it takes for a float, but only after it has tried
            sketch.update(hashed if hashed <= INT64_MAX else float(hashed))
        return sketch

    def zero(self) -> Value:
        return hll_sketch(LG_K)

    def merge(self, left: Value, right: Value) -> Value:
        if right.is_empty():
            return left
        union = hll_union(LG_K)
        union.update(left)
        union.update(right)
        return union.get_result(tgt_hll_type.HLL_4)

    def dump(self, value: Value) -> Value:
        return base64.b64encode(value.serialize_compact()).decode()

    def load(self, value: Value) -> Value:
        return hll_sketch.deserialize(base64.b64decode(value))


def estimate(sketch: Any) -> int:
    """About how many different hashes a sketch has seen: within 3 %, equal below 100."""
    return round(float(sketch.get_estimate()))


def bucket(of: pl.Expr) -> pl.Expr:
    """The logarithmic bucket (DDSketch) of a whole number that is never negative, for `CountBy`; null for null."""
    return (
        pl.when(of > 0)
        .then((of.cast(pl.Float64).log() / _LN_GAMMA).ceil().cast(pl.Int64))
        .when(of.is_not_null())
        .then(_ZEROS)
    )


def quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """The value at a rank, 0 the least and 1 the greatest, within 1 %; None when there are no values."""
    total = sum(buckets.values())
    if total == 0:
        return None
    rank, seen = int(share * (total - 1)), 0
    for number in sorted(buckets):
        seen += buckets[number]
        if seen > rank:
            break
    return 0.0 if number == _ZEROS else 2 * _GAMMA**number / (_GAMMA + 1)
