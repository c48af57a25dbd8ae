"""Groups: which lines have the same number, how many they are and what they add up to, by arrays.

numpy counts in an array with a place for each number that there may be, which is many times as quick as a hash table.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

#: An array for all numbers that there may be may have so many places for each line, and so many on top.
_PLACES_A_LINE, _PLACES = 4, 1 << 16

#: The largest number that the bigint columns hold, and that segments can.
INT64_MAX = 2**63 - 1

#: numpy's count with weights adds up floats, which are exact so far.
_EXACT = 1 << 53
_LOW_BITS = 32
_LOW = (1 << _LOW_BITS) - 1


@dataclass(frozen=True)
class Groups:
    """Lines by a number."""

    #: The numbers that any line has, ascending.
    found: Numbers
    #: Of each line, where in `found` its number is.
    place: Numbers

    @classmethod
    def by(cls, numbers: Numbers, below: int | None = None) -> "Groups":
        """By numbers from 0 on, all of them `below` where that is known; otherwise by any."""
        if below is None or below > _PLACES + _PLACES_A_LINE * len(numbers):
            found, place = np.unique(numbers, return_inverse=True)
            return cls(found, place.astype(np.int64, copy=False))
        found = np.flatnonzero(np.bincount(numbers, minlength=below))
        where = np.zeros(below, dtype=np.int64)
        where[found] = np.arange(len(found))
        return cls(found, where[numbers])

    def of(self, lines: npt.NDArray[np.bool_]) -> "Groups":
        """The same groups, of some of the lines; some may have none."""
        return Groups(self.found, self.place[lines])

    def paired(self, numbers: Numbers, below: int) -> tuple["Groups", Numbers, Numbers]:
        """Group by this and by numbers from 0 on, all of them `below`; of each pair, the place here and the number."""
        pairs = Groups.by(self.place * below + numbers, len(self.found) * below)
        return pairs, *np.divmod(pairs.found, max(below, 1))  # there is no pair where there is no number

    def count(self) -> Numbers:
        """How many lines each group has."""
        return np.bincount(self.place, minlength=len(self.found))

    def sum(self, values: Numbers) -> Numbers:
        """What the lines' values, none below 0, add up to in each group; it stops at the largest number there is."""
        if _most(values) <= INT64_MAX:
            return self._sum(values)
        low = self._sum(values & _LOW)
        high = self._sum(values >> _LOW_BITS) + (low >> _LOW_BITS)
        return np.where(high <= INT64_MAX >> _LOW_BITS, (high << _LOW_BITS) | (low & _LOW), INT64_MAX)

    def _sum(self, values: Numbers) -> Numbers:
        """The same, where no sum is too large."""
        if _most(values) <= _EXACT:
            return np.bincount(self.place, values, minlength=len(self.found)).astype(np.int64)
        total = np.zeros(len(self.found), dtype=np.int64)
        np.add.at(total, self.place, values)
        return total


def _most(values: Numbers) -> int:
    """What no sum over some of the values is above."""
    return int(values.max(initial=0)) * len(values)
