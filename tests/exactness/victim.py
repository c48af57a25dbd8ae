"""A worker that ends, freezes or waits where a test wants it to; all else is the product.

Runs in a process of its own, forked from one that has imported everything: a start costs milliseconds. It calls
the entry of `faust -A kpi_app worker`; only paces are quickened, and hooks and patches are put in, here.
"""

import asyncio
import functools
import gc
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp  # noqa: F401  imported here, before the fork: faust's web server imports it at its start
import faust.cli.worker  # noqa: F401  as above

from kpi_app import worker as product
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.agents import look_up
from kpi_app.sinks.claim import Pace
from kpi_app.stream import loops
from kpi_app.stream.bend import worker as bent
from tests.exactness import mutations
from tests.exactness.orders import ENDED, Order, Step
from tests.exactness.points import Call, Half, Point, hooked, is_async, place


class Script:
    """The steps that are still to come, one after the other. `test` is the pipe to the test."""

    def __init__(self, test: Connection, steps: tuple[Step, ...]) -> None:
        self._test = test
        self._steps = deque(steps)
        self._gates: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Event]] = {}

    def listen(self) -> None:
        """Take what the test says until it is gone; then so are we."""
        while True:
            try:
                word, said = self._test.recv()
            except (EOFError, OSError):
                os._exit(1)
            if word == "arm":
                self._steps = deque(said)
            else:
                loop, gate = self._gates.pop(said)
                loop.call_soon_threadsafe(gate.set)
            self._test.send(("done", word))

    def due(self, point: Point, call: Call) -> str | None:
        """The action that is due at this call, if any. Ends or freezes the process itself."""
        if not self._steps or self._steps[0].point != point.name or not point.when(call):
            return None
        action = self._steps.popleft().action
        if action == "end":
            os._exit(ENDED)
        if action == "hold":
            self._gates[point.name] = asyncio.get_running_loop(), asyncio.Event()
        self._test.send(("reached", point.name))
        if action == "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        return action

    async def wait(self, point: Point) -> None:
        """Hold the caller until the test lets go."""
        _, gate = self._gates[point.name]
        await gate.wait()


def run(order: Order, test: Connection) -> None:
    """Be a worker."""
    script = Script(test, order.script)
    threading.Thread(target=script.listen, daemon=True).start()
    _redirect(order.log)
    os.chdir(order.directory)
    os.environ.update(order.settings)
    for patch in order.patches:
        mutations.apply(patch)
    _hook_all(script)
    _quicken(order)
    app = product.make_app()
    app.conf.broker_session_timeout = order.session_s
    app.conf.broker_heartbeat_interval = order.session_s / 5
    app.conf.consumer_metadata_max_age_ms = int(order.metadata_age_s * 1_000)
    sys.argv = ["faust", "worker", "-l", "info"]
    app.main()


def _redirect(log: Path) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(file, stream)


def _quicken(order: Order) -> None:
    load = product.load
    product.load = lambda: load().model_copy(
        update={"emit_every": order.emit_every_s, "stall_after": order.stall_after_s}
    )
    loops.BACKOFF_S = (0.1, 0.5)
    product.Pace = lambda **_: Pace(tops_every_s=0, larger_every_s=0, quiet_s=0)
    product.LAST_FLUSH_S, bent.STOP_LIMIT_S = 30.0, 40.0  # what a stop leaves must not depend on a busy machine
    loops.TIDY_EVERY_S = 0.2


def _hook_all(script: Script) -> None:
    for owner, function, points in hooked():
        wrap = _async_hook if is_async(owner, function) else _hook
        setattr(place(owner), function, wrap(getattr(place(owner), function), points, script))
    from kpi_app.stream.partition import Partition

    Partition._send = _halving(Partition._send)


def _hook(function: Callable[..., Any], points: list[Point], script: Script) -> Callable[..., Any]:
    @functools.wraps(function)
    def hooked(*arguments: Any, **named: Any) -> Any:
        _act(points, "before", Call(arguments, None), script)
        result = function(*arguments, **named)
        _act(points, "after", Call(arguments, result), script)
        return result

    return hooked


def _act(points: list[Point], moment: str, call: Call, script: Script) -> tuple[Point, str | None] | None:
    """Act at the points of this moment; the one where something was due, and what."""
    return next(
        ((p, action) for p in points if p.moment == moment and (action := script.due(p, call)) is not None), None
    )


def _async_hook(function: Callable[..., Any], points: list[Point], script: Script) -> Callable[..., Any]:
    async def stop_by(moment: str, call: Call) -> str | None:
        point, action = _act(points, moment, call, script) or (None, None)
        if point is not None and action == "hold":
            await script.wait(point)
        return action

    @functools.wraps(function)
    async def hooked(*arguments: Any, **named: Any) -> Any:
        action = await stop_by("before", Call(arguments, None))
        if action == "lose":
            return None
        if action == "repeat":
            await function(*arguments, **named)
        result = await function(*arguments, **named)
        await stop_by("after", Call(arguments, result))
        return result

    return hooked


def _halving(send: Callable[..., Any]) -> Callable[..., Any]:
    """Several segments are sent in two calls, so that there is a point between them."""

    @functools.wraps(send)
    async def halved(self: Any, records: Any) -> Any:
        records = list(records)
        if len(records) > 1 and all(value is not None for _, value in records):
            middle = len(records) // 2
            await send(self, Half(records[:middle]))
            records = records[middle:]
        return await send(self, records)

    return halved


look_up(ACCESS.example)  # loads its lists, which takes seconds; polars must not run before a fork

# What was imported up to here is shared by all that are forked, as long as no collector touches it.
gc.collect()
gc.freeze()
