"""Groups: whichever way numbers are looked for, lines are counted and added up exactly."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.core.groups import INT64_MAX, Groups

LINES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, INT64_MAX) | st.integers(0, 100)), max_size=80)


@pytest.mark.parametrize("below", [31, 10**18, None], ids=["a place for each", "too many for that", "unknown"])
@given(lines=LINES)
def test_counts_and_sums_are_those_of_a_counter(below: int | None, lines: list[tuple[int, int]]) -> None:
    """Of any values; a sum stops at the largest number that a column holds."""
    numbers, values = (np.array([line[i] for line in lines], dtype=np.int64) for i in (0, 1))
    found = Groups.by(numbers, below)
    counts, sums = Counter(number for number, _ in lines), Counter[int]()
    for number, value in lines:
        sums[number] += value
    assert found.found.tolist() == sorted(counts)
    assert found.found[found.place].tolist() == numbers.tolist()
    assert found.count().tolist() == [counts[number] for number in sorted(counts)]
    assert found.sum(values).tolist() == [min(sums[number], INT64_MAX) for number in sorted(counts)]


def test_any_numbers_can_be_grouped() -> None:
    """Where no bound is known, negative ones and the largest, too."""
    numbers = np.array([INT64_MAX, -1, INT64_MAX], dtype=np.int64)
    found = Groups.by(numbers)
    assert found.found.tolist() == [-1, INT64_MAX]
    assert found.place.tolist() == [1, 0, 1]


def test_far_apart_numbers_take_no_room() -> None:
    """A batch of many parts and many values must not ask for an array with a place for each pair."""
    found = Groups.by(np.array([10**17, 5], dtype=np.int64), below=10**18)
    assert found.found.tolist() == [5, 10**17]


def test_a_sum_of_more_lines_than_floats_can_add_is_exact() -> None:
    """A producer's batch may hold millions of short lines, and say any size of each."""
    values = np.full((1 << 21) + (1 << 19), (1 << 32) - 1, dtype=np.int64)
    assert Groups.by(np.zeros(len(values), dtype=np.int64)).sum(values).tolist() == [len(values) * ((1 << 32) - 1)]
