"""Ranges: the same as a set of numbers, at a cost that goes by their borders."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.core.ranges import Ranges

SPANS = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(st.tuples(st.booleans(), SPANS), max_size=30), SPANS)
def test_ranges_are_a_set_of_numbers(steps: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]) -> None:
    """Whatever is added and removed, they hold what a set would, sorted, and no two of them touch."""
    ranges, numbers = Ranges(), set[int]()
    for adds, (start, end) in steps:
        (ranges.add if adds else ranges.remove)(start, end)
        numbers = numbers | set(range(start, end)) if adds else numbers - set(range(start, end))
    assert [number for start, end in ranges for number in range(start, end)] == sorted(numbers)
    borders = [border for each in ranges for border in each]
    assert all(before < after for before, after in pairwise(borders))
    assert ranges.size() == len(numbers)
    assert ranges.meets(*asked) == bool(numbers & set(range(*asked)))
    everything = np.arange(100)
    assert everything[ranges.holds(everything)].tolist() == sorted(numbers)


def test_copy_goes_its_own_way() -> None:
    """What is added to a copy is not in the original."""
    ranges = Ranges([1], [5])
    other = ranges.copy()
    other.add(5, 9)
    assert (list(ranges), list(other)) == ([(1, 5)], [(1, 9)])
