"""How commands end when they are told to: the first signal ends them in order, any more change nothing.

Ctrl-C, SIGTERM and SIGHUP (a closed terminal) are treated alike. Who presses Ctrl-C twice would else interrupt the
very steps that leave nothing behind; each of them is limited in time.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def ending_once(say: Callable[[], None] = lambda: None) -> Iterator[None]:
    """The first signal raises `SystemExit` (128 + its number) in the block and calls `say`; later ones are ignored."""

    def leave(number: int, _frame: FrameType | None) -> None:
        _ignore()
        say()
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in _heard()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(coroutine: Coroutine[Any, Any, None], say: Callable[[], None] = lambda: None) -> None:
    """Run to the end; the first signal calls `say`, cancels it, and then raises `SystemExit`.

    Not by an exception out of the blue, as in `ending_once`: in a task that would be logged, with its traceback.
    """
    told: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(coroutine)

        def end() -> None:
            say()
            task.cancel()

        def tell(number: int, _frame: FrameType | None) -> None:
            if not told:
                loop.call_soon_threadsafe(end)
            told.append(number)

        # not by the loop's own handlers: while it closes, it leaves signals without one
        before = {number: signal.signal(number, tell) for number in _heard()}
        try:
            await task
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if told else handler)

    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        raise SystemExit(128 + next(iter(told), signal.SIGINT)) from None


def _heard() -> list[signal.Signals]:
    """Those that whoever started us has not had us ignore, as `nohup` does."""
    return [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def _ignore() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
