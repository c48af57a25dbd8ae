"""Gather: lines that come few at a time are left with the broker for a while, and taken together.

Each batch has its price, whatever its size: as much as some thousand lines. A worker that took each line as it comes
would be busy with twenty of them a second. aiokafka fetches ahead, but no more while what it fetched was not taken: a
line waits for the next take or for the one after that.
"""

from asyncio import timeout
from contextlib import suppress
from time import monotonic
from typing import Any

#: How long lines gather, counted from those that were taken before.
GATHER_S = 0.5

#: Nothing is waited for where so many lines are there already.
ENOUGH = 4_096


class Gather:
    """Says when lines are taken again. The first ones after a while are taken at once."""

    def __init__(self) -> None:
        self._again_s = 0.0

    def taken(self, lines: int, waiting: int) -> None:
        """So many were taken now, and so many more are there."""
        self._again_s = monotonic() + GATHER_S if lines and lines + waiting < ENOUGH else 0.0

    def anew(self) -> None:
        """Nothing is waited for: what was taken is not what comes next."""
        self._again_s = 0.0

    async def wait(self, suspended: Any) -> None:
        """Return when it is time, or at once when the event `suspended` is set: a rebalance does not wait."""
        left_s = self._again_s - monotonic()
        if left_s > 0:
            with suppress(TimeoutError):
                async with timeout(left_s):
                    await suspended.wait()
