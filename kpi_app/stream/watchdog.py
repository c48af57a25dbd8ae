"""Ends a worker that makes no progress, so that what supervises it starts it again.

A thread of its own, since a loop that stands still can't see that it does. It looks every second or so at two things:

    do the loops turn?    each of them is asked to call back, again as soon as it has
    is there progress?    the worker's loop shows its signs when it calls back (`stream/signs.py`)

One of them is that Kafka answers, whatever else the worker is doing: `keep_asking` sees to it.

From half of the time that something may take, the worker says that it is not ready; when all of it is over, it ends.
"""

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic, sleep
from types import FrameType
from typing import Any

from kpi_app.stream.bend.stop import EXIT_CODE, log, stop_worker
from kpi_app.stream.vigil import Sign, Stall, Vigil

#: How often it looks, and at least how often in the time that something may take.
LOOK_EVERY_S = 1.0
LOOKS = 20

#: How long its last words may take: whoever reads the log may hang, too.
LAST_WORDS_S = 5.0

#: How often Kafka is asked.
ASK_EVERY_S = 2.0

#: From this share of its time on, what makes no progress is worth telling.
TOLD_FROM = 0.5


class _Loop:
    """Whether a loop turns."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked = 0
        self.turned = 0
        self.thread = ""

    def ask(self, then: Callable[[], None]) -> None:
        """Have it call back, unless an earlier call is still to come."""
        if self._asked > self.turned:
            return
        self._asked += 1
        try:
            self._loop.call_soon_threadsafe(self._turn, then)
        except RuntimeError:
            return  # closed: it is not the loops that this end depends on any more

    def _turn(self, then: Callable[[], None]) -> None:
        self.thread = threading.current_thread().name
        then()
        self.turned = self._asked

    def sign(self, name: str) -> Sign:
        return Sign(f"the {name} loop has not turned", self.turned, thread=self.thread or "MainThread")


class Watchdog(threading.Thread):
    """Watches over the loops by their names, the first of which shows the signs.

    `tell` hears what stalls, or None; `looked` is called with each look, which puts the last resort off.
    """

    def __init__(
        self,
        limit_s: float,
        loops: Mapping[str, asyncio.AbstractEventLoop],
        show: Callable[[], Mapping[str, Sign]],
        tell: Callable[[str | None], None],
        looked: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        every_s = min(LOOK_EVERY_S, limit_s / LOOKS)
        self._every_s = every_s
        self._loops = {name: _Loop(loop) for name, loop in loops.items()}
        self._show = show
        self._tell = tell
        self._looked = looked
        self._shown: Mapping[str, Sign] | None = None
        self._turning, self._going_on = Vigil(limit_s, every_s), Vigil(limit_s, every_s)
        self._over = threading.Event()
        self._last_words = LastWords()
        self._last_words.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()

    def run(self) -> None:
        """Look, until it is told not to, or until it ends the process."""
        try:
            self._looked()
            while not self._over.wait(self._every_s):
                self._looked()
                self._look(monotonic())
        except BaseException as error:  # nobody would watch any more, and nobody would know
            self._last_words.begun.set()
            try:
                stop_worker("its watchdog failed", error)
            finally:
                os._exit(EXIT_CODE)

    def _look(self, now_s: float) -> None:
        first = True
        for loop in self._loops.values():
            loop.ask(self._show_signs if first else lambda: None)
            first = False
        stall = self._turning.look({name: loop.sign(name) for name, loop in self._loops.items()}, now_s)
        shown, self._shown = self._shown, None
        if shown is not None:  # a loop that stands still shows what was: that is not judged
            going_on = self._going_on.look(shown, now_s)
            self._tell(str(going_on) if going_on and going_on.share >= TOLD_FROM else None)
            stall = max((each for each in (stall, going_on) if each), key=lambda each: each.share, default=None)
        if stall and stall.share >= 1 and not is_debugged():
            end(stall, self._last_words)

    def _show_signs(self) -> None:
        self._shown = self._show()


class LastWords(threading.Thread):
    """Ends the process when its last words, once they have `begun`, take too long.

    It is there from the start: a process that hangs may be one that gets no more threads.
    """

    def __init__(self) -> None:
        super().__init__(name="last words", daemon=True)
        self.begun = threading.Event()

    def run(self) -> None:
        """Wait for the end."""
        self.begun.wait()
        sleep(LAST_WORDS_S)
        os._exit(EXIT_CODE)


async def keep_asking(ask: Callable[[], Awaitable[object]]) -> None:
    """Ask Kafka for ever; that it does not answer is for the watchdog to notice."""
    while True:
        await asyncio.sleep(ASK_EVERY_S)
        try:
            await ask()
        except Exception as error:
            log.debug("Kafka was asked in vain: %s: %s", type(error).__name__, error)


def end(stall: Stall, last_words: LastWords) -> None:
    """End the process, and say why, in one line; behind the stacks that tell where something hangs."""
    last_words.begun.set()
    for name, stack in _stacks(stall.thread):
        log.error("thread %s stands at\n%s", name, stack)
    stop_worker(f"no progress: {stall}")


def _stacks(threads: str) -> list[tuple[str, str]]:
    """Name and stack of each thread whose name begins so; none for an empty one."""
    frames = sys._current_frames()
    return [
        (thread.name, "".join(traceback.format_stack(frames[thread.ident])).rstrip())
        for thread in threading.enumerate()
        if threads and thread.name.startswith(threads) and thread.ident in frames
    ]


def is_debugged() -> bool:
    """Whether somebody steps through this process: then it stands still for as long as they like."""
    monitoring: Any = getattr(sys, "monitoring", None)  # since Python 3.12
    if monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None:
        return True
    return any(map(_is_traced, sys._current_frames().values()))


def _is_traced(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_trace is not None:
            return True
        frame = frame.f_back
    return False
