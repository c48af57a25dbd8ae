"""A look at the topic: the brokers are stand-ins, one of which says nothing."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import NodeNotReadyError

from kpi_app.stream.bend import Look, Seen, consumer
from kpi_app.stream.bend.consumer import BatchThread


class Consumer:
    """Knows where one partition ends."""

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 9)

    async def position(self, tp: TopicPartition) -> int:
        return 7

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("access-log", 0)}


async def look(numbers: set[int]) -> tuple[Look, int]:
    """What a look brings, and how many answers it took for one."""
    thread: Any = SimpleNamespace(answers=0, _starts={TopicPartition("access-log", 0): 7}, _ensure_consumer=Consumer)
    for name in ("_identify", "_seen"):
        setattr(thread, name, getattr(BatchThread, name).__get__(thread))
    async with asyncio.timeout(10):
        return await BatchThread._look(thread, "access-log", numbers), thread.answers


async def silent(*_: Any) -> str:
    await asyncio.Event().wait()
    raise AssertionError


async def not_ready(*_: Any) -> str:
    raise NodeNotReadyError("no broker is known yet")


@pytest.mark.parametrize("identify", [silent, not_ready])
async def test_the_ends_are_seen_though_nobody_knows_the_id(identify: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One broker, chosen at random, is asked for the id; the ends are told by those who lead the partitions."""
    monkeypatch.setattr(consumer, "LOOK_S", 0.2)
    monkeypatch.setattr(consumer, "identify", identify)
    assert await look({0}) == (Look("", {0: Seen(7, 7, 9)}), 1)


async def test_a_look_that_nobody_answers_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """That Kafka answers is a sign of progress."""
    monkeypatch.setattr(consumer, "identify", not_ready)
    assert await look(set()) == (Look("", {}), 0)
