"""Aggregates: any grouping and order of merges gives the same value."""

from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.core.aggregates import INT64_MAX, Aggregate, Count, CountBy, Max, Min, Peak, Sum

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
