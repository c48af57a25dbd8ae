"""The thread that looks whether loops turn and signs change, on real loops; it would end the process."""

import asyncio
import sys
import threading
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from kpi_app.stream import watchdog
from kpi_app.stream.vigil import Sign, Stall
from kpi_app.stream.watchdog import LastWords, Watchdog

LIMIT_S = 0.4

#: What fails instead of hanging.
GENEROUS_S = 30.0


class Ended:
    """Hears of the end instead of the process, and what was told before."""

    def __init__(self) -> None:
        self.told: list[str | None] = []
        self.stalls: list[Stall] = []
        self.over = threading.Event()

    def end(self, stall: Stall, _: LastWords) -> None:
        self.stalls.append(stall)
        self.over.set()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Ended:
    ended = Ended()
    monkeypatch.setattr(watchdog, "end", ended.end)
    return ended


@pytest.fixture
def fetching() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that turns in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def watch(ended: Ended, fetching: asyncio.AbstractEventLoop, signs: Mapping[str, Sign]) -> Watchdog:
    loops = {"worker's": asyncio.get_running_loop(), "fetching": fetching}
    dog = Watchdog(LIMIT_S, loops, lambda: signs, ended.told.append)
    dog.start()
    return dog


async def test_what_does_not_change_is_told_and_then_ends_it(ended: Ended, fetching: asyncio.AbstractEventLoop) -> None:
    """From half of the time on `/readyz` has it."""
    dog = watch(ended, fetching, {"lines": Sign("lines wait", 7)})
    assert await asyncio.to_thread(ended.over.wait, GENEROUS_S)
    dog.stop()
    assert ended.told[0] is None
    assert "lines wait for 0 s" in ended.told
    assert ended.stalls[0].what == "lines wait"


async def test_a_worker_without_signs_is_left_alone(ended: Ended, fetching: asyncio.AbstractEventLoop) -> None:
    """Nothing is waited for, the loops turn."""
    dog = watch(ended, fetching, {})
    async with asyncio.timeout(GENEROUS_S):
        while len(ended.told) < 60:  # noqa: ASYNC110  a thread adds to it; twenty looks are the limit
            await asyncio.sleep(0.01)
    dog.stop()
    assert set(ended.told) == {None}
    assert not ended.stalls


async def test_a_loop_that_stands_still_ends_it_whatever_it_showed_before(
    ended: Ended, fetching: asyncio.AbstractEventLoop
) -> None:
    """What was shown last is not judged any more: the loop is the reason."""
    dog = watch(ended, fetching, {"lines": Sign("lines wait", 7)})
    async with asyncio.timeout(GENEROUS_S):
        while not ended.told:  # noqa: ASYNC110  a thread sets it
            await asyncio.sleep(0.01)
    assert ended.over.wait(GENEROUS_S), "this loop stands still meanwhile"
    dog.stop()
    assert ended.stalls[0].what == "the worker's loop has not turned"
    assert ended.stalls[0].thread == threading.current_thread().name


async def test_the_other_loop_is_watched_as_well(ended: Ended, fetching: asyncio.AbstractEventLoop) -> None:
    """The one that fetches and keeps the worker in its group."""
    dog = watch(ended, fetching, {})
    release = threading.Event()
    fetching.call_soon_threadsafe(release.wait)
    over = await asyncio.to_thread(ended.over.wait, GENEROUS_S)
    release.set()
    dog.stop()
    assert over
    assert ended.stalls[0].what == "the fetching loop has not turned"


def test_last_words_are_one_line_behind_the_stacks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of the threads that hang, and no others."""
    codes: list[int] = []
    hang = threading.Event()
    thread = threading.Thread(target=hang.wait, args=(GENEROUS_S,), name="asyncio_0")
    thread.start()
    monkeypatch.setattr(watchdog, "os", SimpleNamespace(_exit=codes.append))
    monkeypatch.setattr("kpi_app.stream.bend.stop.end", codes.append)
    watchdog.end(Stall("a batch of partition 3 has been folded", 120.4, 1.0, "asyncio_"), LastWords())
    hang.set()
    thread.join()
    stack, line = [record.getMessage() for record in caplog.records]
    assert stack.startswith("thread asyncio_0 stands at\n")
    assert "in wait" in stack
    assert line == "worker stops: no progress: a batch of partition 3 has been folded for 120 s"
    assert codes == [70]


def test_a_log_that_nobody_reads_does_not_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last words may hang where the loop did, in a full pipe: it ends without them."""
    ended = threading.Event()
    monkeypatch.setattr(watchdog, "LAST_WORDS_S", 0.01)
    monkeypatch.setattr(watchdog, "os", SimpleNamespace(_exit=lambda code: ended.set()))
    monkeypatch.setattr(watchdog, "stop_worker", lambda _: ended.wait(GENEROUS_S))
    last_words = LastWords()
    last_words.start()
    watchdog.end(Stall("lines wait", 120.0, 1.0, ""), last_words)
    assert ended.is_set()
    last_words.join(GENEROUS_S)


async def test_a_process_that_gets_no_more_threads_ends_as_well(
    fetching: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hangs may have taken them all."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    said, codes, over = list[str](), list[int](), threading.Event()
    monkeypatch.setattr(watchdog, "os", SimpleNamespace(_exit=lambda code: (codes.append(code), over.set())))
    monkeypatch.setattr(watchdog, "stop_worker", lambda what, *_: (said.append(what), dog.stop(), over.set()))
    monkeypatch.setattr(watchdog, "LAST_WORDS_S", 0.0)
    dog = Watchdog(LIMIT_S, {"fetching": fetching}, lambda: {"lines": Sign("lines wait", 7)}, lambda _: None)
    dog.start()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    async with asyncio.timeout(GENEROUS_S):
        while not over.is_set():  # noqa: ASYNC110  a thread sets it
            await asyncio.sleep(0.01)
    dog.join(GENEROUS_S)
    dog._last_words.join(GENEROUS_S)
    assert said == ["no progress: lines wait for 0 s"]
    assert codes == [70]


@pytest.mark.parametrize("is_heard", [True, False])
async def test_a_watchdog_that_fails_ends_the_process(
    is_heard: bool, fetching: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would watch any more; whether its last words can be said or not."""

    def stop_worker(what: str, error: BaseException) -> None:
        said.append(f"{what}: {error}")
        if not is_heard:
            raise BrokenPipeError

    def fail() -> None:
        raise MemoryError("no memory")

    said, codes = list[str](), list[int]()
    monkeypatch.setattr(watchdog, "os", SimpleNamespace(_exit=codes.append))
    monkeypatch.setattr(watchdog, "stop_worker", stop_worker)
    monkeypatch.setattr(watchdog, "LAST_WORDS_S", 0.0)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    dog = Watchdog(LIMIT_S, {"fetching": fetching}, dict, lambda _: None, fail)
    dog.start()
    await asyncio.to_thread(dog.join, GENEROUS_S)
    await asyncio.to_thread(dog._last_words.join, GENEROUS_S)
    assert said == ["its watchdog failed: no memory"]
    assert codes == [70, 70], "by itself, and by the thread that cuts its last words off"


def test_who_steps_through_it_is_not_disturbed() -> None:
    """A debugger holds the loop for as long as somebody thinks."""

    def trace(*_: Any) -> Any:
        return trace

    def stepped() -> bool:
        frame = sys._getframe()
        frame.f_trace = trace
        return watchdog.is_debugged()

    assert not watchdog.is_debugged()
    assert stepped()


@pytest.mark.parametrize(("tool", "is_debugged"), [("pdb", True), (None, False)])
def test_a_debugger_that_leaves_no_trace_in_frames_is_known(
    tool: str | None, is_debugged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since Python 3.12 it may register itself instead."""
    monitoring = SimpleNamespace(DEBUGGER_ID=0, get_tool=lambda number: tool if number == 0 else "coverage")
    monkeypatch.setattr(sys, "monitoring", monitoring, raising=False)
    assert watchdog.is_debugged() == is_debugged
