"""Pace: no more than so many lines a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from kpi_app.errors import UserError

#: Lines are let through in portions of this long: small enough to be even, large enough to be cheap.
_PORTION_S = 0.05


class Pace:
    """A token bucket of lines that holds one portion.

    `rate` is in lines a second, None for full speed; `clock` gives monotonic seconds.
    Raises `UserError` for a rate that is not above zero.
    """

    def __init__(
        self,
        rate: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if rate is not None and not 0 < rate < float("inf"):
            raise UserError(f"a rate is lines a second and above zero, not {rate:g}")
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._free_at_s = float("-inf")

    @property
    def portion(self) -> int | None:
        """How many lines to take at once; None: any number."""
        return None if self._rate is None else max(1, int(self._rate * _PORTION_S))

    async def take(self, lines: int) -> None:
        """Return when `lines` more may go."""
        if self._rate is None:
            return
        now_s = self._clock()
        start_s = max(now_s, self._free_at_s)  # time in which nothing was sent is not made up for
        self._free_at_s = start_s + lines / self._rate
        if start_s > now_s:
            await self._sleep(start_s - now_s)
