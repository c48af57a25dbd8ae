"""The test's side of a victim: start it, arm it, freeze it, end it."""

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from tests.exactness.orders import Order, Step

#: A failure guard only: no test is about speed.
LIMIT_S = 60.0

_POLL_S = 0.01

_VICTIM = "tests.exactness.victim"

T = TypeVar("T")


class WorkerEnded(Exception):
    """A worker ended that should not have."""


class Unmet(Exception):
    """What a test waits for did not come."""


async def until(what: str, probe: Callable[[], Awaitable[T | None]], limit_s: float = LIMIT_S) -> T:
    """The first result of `probe` that is true. Raises `Unmet` after a generous while."""
    try:
        async with asyncio.timeout(limit_s):
            while not (found := await probe()):  # noqa: ASYNC110  other processes set no event of ours
                await asyncio.sleep(_POLL_S)
            return found
    except TimeoutError:
        raise Unmet(f"{what}: not within {limit_s:g} s") from None


def _run(order: Order, pipe: Connection) -> None:
    assert _VICTIM in sys.modules, "it was to be imported before the fork: what went wrong with that?"
    sys.modules[_VICTIM].run(order, pipe)


class Worker:
    """A victim that runs."""

    _context = multiprocessing.get_context("forkserver")

    @classmethod
    def import_ahead(cls) -> None:
        """Start the process that victims are forked from."""
        cls._context.set_forkserver_preload(["__main__", _VICTIM])
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # the fork server's imports

    def __init__(self, order: Order) -> None:
        self.order = order
        self._exit_code: int | None = None
        self._reached: list[str] = []
        self._answered = 0
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_run, args=(order, theirs))
        self._process.start()
        theirs.close()

    @property
    def exit_code(self) -> int | None:
        """None while it lives; -n where signal n ended it."""
        if self._exit_code is None:
            self._exit_code = self._process.exitcode
        return self._exit_code

    @property
    def log(self) -> str:
        """All that it and its predecessors with the same log said."""
        return self.order.log.read_text(errors="replace")

    def check(self) -> None:
        """Raise `WorkerEnded` when it has ended."""
        if self.exit_code is not None:
            raise WorkerEnded(f"a worker ended with exit code {self.exit_code}; its log ends:\n{tail(self.order.log)}")

    async def arm(self, *steps: Step) -> None:
        """Replace the steps that are still to come; returns when that is in force."""
        await self._say("arm", steps)

    async def let_go(self, point: str) -> None:
        """Let it go on from where it is held."""
        await self._say("let go", point)

    async def reached(self, point: str) -> None:
        """Wait until it comes to a point where it is frozen, held or disturbed."""

        async def probe() -> bool:
            self._listen()
            if point not in self._reached:
                self.check()
            return point in self._reached

        await until(f"point {point!r}", probe)
        self._reached.remove(point)

    async def ended(self) -> int:
        """Wait until it has ended; returns its exit code."""

        async def probe() -> str | None:
            return None if self.exit_code is None else str(self.exit_code)

        code = int(await until(f"the end of worker {self._process.pid}", probe))
        self._close()
        return code

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM: an orderly stop, which takes its time."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self.exit_code is None:
            self._process.kill()
            self._process.join()
            self._exit_code = self._process.exitcode
        self._close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    async def _say(self, word: str, said: object) -> None:
        self.check()
        before = self._answered
        self._pipe.send((word, said))

        async def probe() -> bool:
            self._listen()
            self.check()
            return self._answered > before

        await until(f"an answer to {word!r}", probe)

    def _listen(self) -> None:
        try:
            while self._pipe.poll():
                kind, what = self._pipe.recv()
                if kind == "reached":
                    self._reached.append(what)
                else:
                    self._answered += 1
        except (EOFError, OSError):
            return

    def _close(self) -> None:
        self._pipe.close()
        self._process.close()


def tail(log: Path, lines: int = 25) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"
