"""What a worker waits for, and for how long it has waited in vain.

Time is lived time: what passes between two looks counts for no more than `MOST` times what was meant to pass. A
process that was stopped, or a machine that slept, did not wait meanwhile.

    looks        | | | |              | | |
    clock        0 1 2 3              20 21 22
    lived        0 1 2 3              5 6 7
"""

from collections.abc import Hashable, Mapping
from typing import NamedTuple

#: Looks that come late, because the machine is busy, count for this many at most.
MOST = 2.0


class Sign(NamedTuple):
    """Something that is waited for: `value` changes as long as it goes on."""

    #: What goes on no more, without for how long.
    what: str
    value: Hashable
    #: This may take longer than the rest by so many seconds, and by this factor.
    more_s: float = 0.0
    times: float = 1.0
    #: Whether it is known that it is waited for now. While it is not, it does not age, and is not forgotten.
    known: bool = True
    #: Name, or its beginning, of the threads whose stacks tell where it hangs.
    thread: str = ""


class Stall(NamedTuple):
    """A sign that did not change."""

    what: str
    for_s: float
    #: Of the time that it may take, how much is over; 1 and more is too long.
    share: float
    thread: str

    def __str__(self) -> str:
        return f"{self.what} for {self.for_s:.0f} s"


class Vigil:
    """Watches signs that are shown to it every `every_s`; none may stay the same for longer than `limit_s`."""

    def __init__(self, limit_s: float, every_s: float) -> None:
        self._limit_s = limit_s
        self._every_s = every_s
        self._last_s: float | None = None
        self._waited: dict[str, tuple[Hashable, float]] = {}

    def look(self, signs: Mapping[str, Sign], now_s: float) -> Stall | None:
        """The sign that comes closest to its limit; None without signs. What is not waited for any more is left out."""
        lived_s = 0.0 if self._last_s is None else min(now_s - self._last_s, MOST * self._every_s)
        self._last_s = now_s
        self._waited = {key: (sign.value, self._for_s(key, sign, lived_s)) for key, sign in signs.items()}
        stalls = [self._stall(sign, self._waited[key][1]) for key, sign in signs.items()]
        return max(stalls, key=lambda stall: stall.share, default=None)  # of two alike the first, which is the cause

    def _for_s(self, key: str, sign: Sign, lived_s: float) -> float:
        before = self._waited.get(key)
        if before is None or before[0] != sign.value:
            return 0.0
        return before[1] + (lived_s if sign.known else 0.0)

    def _stall(self, sign: Sign, for_s: float) -> Stall:
        return Stall(sign.what, for_s, for_s / (self._limit_s * sign.times + sign.more_s), sign.thread)
