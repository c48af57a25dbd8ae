"""Aggregates: any grouping and order of merges gives the same value."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.core.aggregates import Aggregate, Count, CountBy, Max, Min, Peak, Sum
from kpi_app.core.groups import INT64_MAX, Groups

X = pl.col("x")
WHOLE = st.integers(0, INT64_MAX)
KINDS: list[tuple[Aggregate, st.SearchStrategy[Any]]] = [
    (Count(), WHOLE),
    (Sum(X), WHOLE),
    (Min(X), st.none() | st.integers()),
    (Max(X), st.none() | st.integers()),
    (CountBy(X), st.dictionaries(st.integers(0, 59), st.integers(1, 1_000))),
    (Peak(X), st.dictionaries(st.integers(0, 59), st.integers(1, 1_000))),
    (Peak(X), st.integers(0, 1_000)),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=lambda kind: type(kind).__name__)
def test_merge_is_a_commutative_monoid(kind: Aggregate, values: st.SearchStrategy[Any]) -> None:
    """Associative, commutative, with zero as its identity: batches and partitions may be cut anywhere."""

    def merged(left: Any, right: Any) -> Any:
        return kind.merge(kind.load(kind.dump(left)), right)  # a copy: merge may change its left side

    @given(values, values, values)
    def holds(a: Any, b: Any, c: Any) -> None:
        assert merged(merged(a, b), c) == merged(a, merged(b, c))
        assert merged(a, b) == merged(b, a)
        assert merged(kind.zero(), a) == merged(a, kind.zero()) == a

    holds()


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=lambda kind: type(kind).__name__)
def test_value_survives_json(kind: Aggregate, values: st.SearchStrategy[Any]) -> None:
    """What a segment stores is what it loads."""

    @given(values.filter(lambda value: not isinstance(value, int) or abs(value) <= INT64_MAX))
    def holds(value: Any) -> None:
        assert kind.load(orjson.loads(orjson.dumps(kind.dump(value)))) == value

    holds()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Count(), 4),
        (Count(X > 1), 2),
        (Sum(X), 6),
        (Min(X), 1),
        (Max(X), 3),
    ],
)
def test_value_over_lines(kind: Aggregate, value: int) -> None:
    """A null adds nothing, but its line counts."""
    frame = pl.DataFrame({"group": [0] * 4, "x": [1, 2, 3, None]})
    assert frame.group_by("group").agg(kind.over()).item(0, 1) == value


PARTS = st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(-1, 9)), max_size=60)


@given(PARTS)
def test_counts_by_value_are_those_of_each_part(lines: list[tuple[int, int | None]]) -> None:
    """A null counts nowhere, and a part of nulls alone has no counts."""
    counts = defaultdict[int, Counter[int]](Counter)
    for part, value in lines:
        if value is not None:
            counts[part][value] += 1
    parts = Groups.by(np.array([part for part, _ in lines], dtype=np.int64))
    frame = pl.DataFrame({"x": [value for _, value in lines]}, schema={"x": pl.Int64})
    found = {int(parts.found[number]): value for number, value in CountBy(X).split(frame, parts)}
    assert found == counts


def test_zero_is_not_shared() -> None:
    """Counting into one zero leaves the next one empty."""
    kind = CountBy(X)
    kind.merge(kind.zero(), {1: 1})
    assert kind.zero() == {}


def test_sum_stays_at_the_largest_there_is() -> None:
    """Within a batch and over batches, a sum never wraps around to a wrong number, and JSON can hold it."""
    frame = pl.DataFrame({"group": [0] * 3, "x": [INT64_MAX] * 3})
    batch = frame.group_by("group").agg(Sum(X).over()).item(0, 1)
    assert batch == 3 * INT64_MAX
    assert Sum(X).merge(Sum(X).zero(), batch) == Sum(X).merge(INT64_MAX, 1) == INT64_MAX
