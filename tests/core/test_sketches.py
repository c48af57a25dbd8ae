"""Sketches: within their bounds, the same however the lines are cut, and mergeable after they were stored."""

import math
from hashlib import blake2b

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.core.aggregates import CountBy
from kpi_app.core.groups import Groups
from kpi_app.core.sketches import Distinct, bucket, estimate, quantile

KIND = Distinct(pl.col("visitor"))


def hashes(first: int, count: int) -> list[int]:
    return [int.from_bytes(blake2b(b"%d" % n, digest_size=8).digest()) for n in range(first, first + count)]


def seen(values: list[int | None]) -> object:
    """What a batch of lines comes to."""
    frame = pl.DataFrame({"group": [0] * len(values), "visitor": values}, schema_overrides={"visitor": pl.UInt64})
    return KIND.lift(frame.group_by("group").agg(KIND.over())["visitor"][0].to_list())


@pytest.mark.parametrize("count", [0, 1, 2, 50, 99])
def test_few_values_are_counted_exactly(count: int) -> None:
    """Below 100 the estimate is the number, however often each one came."""
    assert estimate(seen([*hashes(0, count), *hashes(0, count), None])) == count


@pytest.mark.parametrize("count", [1_000, 20_000, 300_000])
def test_many_values_are_counted_within_three_percent(count: int) -> None:
    """Batches and partitions that overlap are united, never summed; storing one changes nothing."""
    parts = [seen(hashes(start, count // 2)) for start in range(0, count // 2 + 1, count // 4)]
    total = KIND.zero()
    for part in parts:
        total = KIND.merge(total, KIND.load(orjson.loads(orjson.dumps(KIND.dump(part)))))
    assert abs(estimate(total) - count) <= 0.03 * count
    backwards = KIND.zero()
    for part in reversed(parts):
        backwards = KIND.merge(backwards, part)
    assert estimate(backwards) == estimate(total)
    assert len(KIND.dump(total)) < 16_000


def times(values_us: list[int]) -> dict[int, int]:
    """Request times by bucket."""
    frame = pl.DataFrame({"time_us": values_us}, schema={"time_us": pl.Int64})
    parts = Groups.by(np.zeros(len(values_us), dtype=np.int64))
    return dict(CountBy(bucket(pl.col("time_us"))).split(frame, parts)).get(0, {})


@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_one_percent_of_the_value_at_its_rank(values_us: list[int], share: float) -> None:
    """The value of numpy's percentile of the lower kind, whatever the values are."""
    true = float(np.percentile(values_us, 100 * share, method="lower"))
    found = quantile(times(values_us), share)
    assert found is not None
    assert math.isclose(found, true, rel_tol=0.01)


def test_no_values_have_no_quantile() -> None:
    """A format without request times has none, not 0."""
    assert quantile(times([]), 0.5) is None


def test_buckets_are_few() -> None:
    """Hostile times make no more buckets than there can be."""
    assert len(times([*range(0, 10**6, 7), *(3**n for n in range(27))])) < 1_700
