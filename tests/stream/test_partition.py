"""A partition's checkpoint is whole or its last one."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from kpi_app.core.state import PartitionState
from kpi_app.errors import StopWorker
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.base import Reading
from kpi_app.stream.bend import Records
from kpi_app.stream.fold import Folding, fold_records
from kpi_app.stream.partition import Partition
from kpi_app.stream.topics import Names
from tests.core.test_state import RULES

STEPS = ["_begin", "_send_segments", "_send_drops", "_send_books", "_send_dead_letters", "_commit"]
LINE = b'1.2.3.4 - - [23/May/2023:14:21:08 +0000] "GET / HTTP/1.1" 200 9'


class _Producer:
    """A producer whose broker takes everything at once."""

    async def begin_transaction(self) -> None:
        pass

    async def commit_transaction(self) -> None:
        pass

    async def send(self, *_: Any, **__: Any) -> "asyncio.Future[Any]":
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_result(SimpleNamespace(offset=1))
        return done


def _partition() -> Partition:
    state = PartitionState(RULES, ACCESS.measures, {}.__getitem__)
    table = SimpleNamespace(write=lambda records, position: list(records))
    return Partition(0, Names("lines"), state, table, _Producer())  # type: ignore[arg-type]


def _fold(partition: Partition, line: bytes) -> None:
    first = partition.state.ledger.next_offset
    record = SimpleNamespace(offset=first, timestamp=-1, value=line, headers=())
    by = Folding(ACCESS, Reading(), RULES)
    folded = fold_records(Records.of([record]), first, partition.state.ledger.watermark_us, by, TP("lines", 0))
    assert folded is not None
    partition.apply(*folded)


@pytest.mark.parametrize("step", STEPS)
async def test_after_a_checkpoint_that_was_cut_off_there_is_no_other(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a cancelled checkpoint took is not in the next one: that would be books without their segments."""
    partition = _partition()
    _fold(partition, LINE)
    reached = asyncio.Event()

    async def stuck(*_: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(partition, step, stuck)
        task = asyncio.ensure_future(partition.checkpoint())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    _fold(partition, LINE)
    with pytest.raises(StopWorker, match="cut off"):
        await partition.checkpoint()


async def test_checkpoints_follow_each_other() -> None:
    """A checkpoint that came through is followed by the next."""
    partition = _partition()
    for _ in range(3):
        _fold(partition, LINE)
        assert await partition.checkpoint()
    assert not await partition.checkpoint()


def test_a_dead_letter_holds_on_to_the_beginning_of_its_line() -> None:
    """A huge rejected value is not kept in memory until the checkpoint."""
    partition = _partition()
    _fold(partition, b"\xff" * 200_000)
    [letter] = partition._dead_letters
    assert (letter.reason, letter.truncated) == ("encoding", True)
    assert letter.kept is not None
    assert len(letter.kept) == 4_096
