"""Groups: which lines have the same number, how many they are and what they add up to, by arrays.

numpy counts in an array with a place for each number that there may be, which is many times as quick as a hash table.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

#: An array for all numbers that there may be may have so many places for each line, and so many on top.
_PLACES_A_LINE, _PLACES = 4, 1 << 16

#: numpy adds up floats, which are exact so far: far enough for the halves of a million lines' numbers.
_EXACT = 1 << 53
_LOW_BITS = 32
_LOW = (1 << _LOW_BITS) - 1
_LARGEST = np.iinfo(np.int64).max


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

    def count(self) -> Numbers:
        """How many lines each group has."""
        return np.bincount(self.place, minlength=len(self.found))

    def sum(self, values: Numbers) -> Numbers:
        """What the lines' values, none below 0, add up to in each group; it stops at the largest number there is."""
        if int(values.max(initial=0)) * len(values) <= _EXACT:
            return self._sum(values)
        low = self._sum(values & _LOW)
        high = self._sum(values >> _LOW_BITS) + (low >> _LOW_BITS)
        return np.where(high <= _LARGEST >> _LOW_BITS, (high << _LOW_BITS) | (low & _LOW), _LARGEST)

    def _sum(self, values: Numbers) -> Numbers:
        return np.bincount(self.place, values, minlength=len(self.found)).astype(np.int64)
