"""Patience: Kafka's time counts, that of whoever takes what was read does not."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from kpi_app.errors import UserError
from kpi_app.rejected.letters import Letters, Place
from kpi_app.rejected.originals import Waiting, originals
from kpi_app.rejected.patience import PATIENCE_S
from kpi_app.stream.deadletters import Letter

TP = TopicPartition("t", 0)


class Clock:
    """Goes on when told."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Reader:
    """A partition of five records. Every other fetch gives nothing and takes `slow_s`; all do, from `stuck` on."""

    def __init__(self, clock: Clock, slow_s: float, stuck: int | None = None) -> None:
        self._clock, self._slow_s, self._stuck = clock, slow_s, stuck
        self._position, self._fetches = 0, 0

    def assign(self, tps: list[TopicPartition]) -> None: ...

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._position = offset

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {TP: 0}

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {TP: 5}

    async def position(self, tp: TopicPartition) -> int:
        return self._position

    async def getmany(self, *tps: TopicPartition, **_: Any) -> dict[TopicPartition, list[Any]]:
        self._fetches += 1
        if self._fetches % 2 or self._position == self._stuck:
            self._clock.now_s += self._slow_s
            return {}
        self._position += 1
        return {TP: [SimpleNamespace(offset=self._position - 1, value=b"")]}


async def _letters(reader: Any, meanwhile: Callable[[], None]) -> int:
    count = 0
    async for some in Letters(reader, "raw", {TP: 5}).found(lambda done, total: None):
        count += len(some)
        meanwhile()
    return count


async def _originals(reader: Any, meanwhile: Callable[[], None]) -> int:
    # every other letter's line is gone
    waiting = [Waiting(Place(0, each), Letter(0, each, None, "format", "", False, "")) for each in (-2, 1, 4, 7)]
    found = [meanwhile() async for _ in originals(reader, "t", [0], waiting)]
    return len(found) + 1


read_by = pytest.mark.parametrize("read", [_letters, _originals])


@read_by
async def test_who_takes_long_with_what_was_read_is_waited_for(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending takes as long as it takes: the topic has not stood still."""
    clock = Clock()
    monkeypatch.setattr("kpi_app.rejected.patience.monotonic", clock)

    def meanwhile() -> None:
        clock.now_s += 3 * PATIENCE_S

    assert await read(Reader(clock, PATIENCE_S / 2), meanwhile) == 5


@read_by
async def test_a_topic_that_gives_nothing_is_given_up(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the end, not at the first fetch that is empty."""
    clock = Clock()
    monkeypatch.setattr("kpi_app.rejected.patience.monotonic", clock)
    with pytest.raises(UserError, match="t could not be read on for 40 s: try again"):
        await read(Reader(clock, 0.2, stuck=3), lambda: None)
    assert PATIENCE_S < clock.now_s < PATIENCE_S + 1
