"""Ranges of whole numbers, such as the bytes of a file."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Ranges:
    """Ranges of whole numbers, ends excluded, in their order; such as touch are one."""

    __slots__ = ("ends", "starts")

    def __init__(self, starts: Iterable[int] = (), ends: Iterable[int] = ()) -> None:
        self.starts, self.ends = array("q", starts), array("q", ends)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.starts, self.ends, strict=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and (self.starts, self.ends) == (other.starts, other.ends)

    def __repr__(self) -> str:
        return f"Ranges{list(self)}"

    def copy(self) -> "Ranges":
        """The same, to be changed."""
        return Ranges(self.starts, self.ends)

    def size(self) -> int:
        """How many numbers are in them."""
        return sum(self.ends) - sum(self.starts)

    def meets(self, start: int, end: int) -> bool:
        """Whether any number from `start` to before `end` is in one."""
        first = bisect_right(self.ends, start)
        return first < len(self.starts) and self.starts[first] < end

    def holds(self, numbers: Numbers) -> Flags:
        """Whether each number is in one."""
        if not self.starts:
            return np.zeros(len(numbers), np.bool_)
        place = np.searchsorted(np.asarray(self.starts), numbers, side="right") - 1
        return (place >= 0) & (numbers < np.asarray(self.ends)[place])

    def add(self, start: int, end: int) -> None:
        """Have `start` to before `end` in one."""
        first, after = bisect_left(self.ends, start), bisect_right(self.starts, end)
        if first < after:
            start, end = min(start, self.starts[first]), max(end, self.ends[after - 1])
        self._put(first, after, [(start, end)])

    def remove(self, start: int, end: int) -> None:
        """Have `start` to before `end` in none."""
        first, after = bisect_right(self.ends, start), bisect_left(self.starts, end)
        if first < after:
            rest = (self.starts[first], start), (end, self.ends[after - 1])
            self._put(first, after, [each for each in rest if each[0] < each[1]])

    def _put(self, first: int, after: int, ranges: Sequence[tuple[int, int]]) -> None:
        self.starts[first:after] = array("q", [start for start, _ in ranges])
        self.ends[first:after] = array("q", [end for _, end in ranges])
