"""Ways to stop at a named step of flush or merge: to let something else happen there, or to end there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest


class Gate:
    """Holds whoever comes to a step first, in front of it, until the gate opens; others pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
        self._reached, self._open = asyncio.Event(), asyncio.Event()
        before(monkeypatch, step, self._wait)

    async def _wait(self) -> None:
        if not self._reached.is_set():
            self._reached.set()
            await self._open.wait()

    async def reached(self) -> None:
        """Return as soon as someone stands there."""
        await asyncio.wait_for(self._reached.wait(), 30)

    def open(self) -> None:
        """Let pass who stands there."""
        self._open.set()


def before(monkeypatch: pytest.MonkeyPatch, step: str, do: Callable[[], Awaitable[None]]) -> None:
    """Do something in front of a step, such as `flush.write_segments`."""
    _wrap(monkeypatch, step, do, None)


def after(monkeypatch: pytest.MonkeyPatch, step: str, do: Callable[[], Awaitable[None]]) -> None:
    """Do something behind a step."""
    _wrap(monkeypatch, step, None, do)


def _wrap(
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    first: Callable[[], Awaitable[None]] | None,
    then: Callable[[], Awaitable[None]] | None,
) -> None:
    room, name = step.split(".")
    module = __import__(f"kpi_app.sinks.{room}", fromlist=[name])
    real = getattr(module, name)

    async def wrapped(*args: Any) -> Any:
        if first:
            await first()
        result = await real(*args)
        if then:
            await then()
        return result

    monkeypatch.setattr(module, name, wrapped)
