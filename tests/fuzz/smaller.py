"""Smaller: a batch for which a claim does not hold becomes one that has little else in it."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.fuzz.tried import Value

Part = TypeVar("Part", list[Value], bytes)


def smaller(values: Sequence[Value], still: Callable[[Sequence[Value]], bool], tries: int = 400) -> list[Value]:
    """Take away values, then bytes of each, as long as `still` says that the same is wrong, asked so often at most."""
    left = iter(range(tries))

    def tried(fewer: Sequence[Value]) -> bool:
        return next(left, None) is not None and still(fewer)

    kept = list(_less(list(values), lambda some: bool(some) and tried(some)))
    for place, value in enumerate(kept):
        if value:
            kept[place] = _less(value, lambda part, at=place: tried([*kept[:at], part, *kept[at + 1 :]]))
    return kept


def _less(whole: Part, still: Callable[[Part], bool]) -> Part:
    """Leave out runs of halving length, and single ones until none can be (Zeller, Hildebrandt: ddmin, 2002)."""
    run = max(1, len(whole) // 2)
    while run:
        start, less = 0, False
        while start < len(whole):
            without = whole[:start] + whole[start + run :]
            if still(without):
                whole, less = without, True
            else:
                start += run
        run = run if less and run == 1 else run // 2
    return whole
