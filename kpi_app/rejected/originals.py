"""Originals: the lines that dead letters tell of, read from the raw topic."""

from collections import deque
from collections.abc import AsyncIterator, Iterable
from itertools import groupby
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from kpi_app.rejected.letters import Place
from kpi_app.rejected.patience import Patience
from kpi_app.stream.deadletters import Letter

#: Offsets between two lines that are read through rather than jumped over.
_NEAR = 2_000
_AT_A_TIME = 500


class Waiting(NamedTuple):
    """A letter without a receipt."""

    place: Place
    letter: Letter


class Original(NamedTuple):
    """A letter and the record at its line's place in the raw topic; None where there is none any more."""

    waiting: Waiting
    record: Any

    @property
    def is_there(self) -> bool:
        """Whether the record is the line that the letter tells of: the topic may have been made anew."""
        letter, record = self.waiting.letter, self.record
        return record is not None and letter.is_of(record.timestamp, record.value)

    @property
    def size(self) -> int:
        """Bytes of the line."""
        return len(self.record.value or b"") if self.record else 0


async def originals(
    reader: AIOKafkaConsumer, topic: str, partitions: Iterable[int], waiting: Iterable[Waiting]
) -> AsyncIterator[Original]:
    """The lines of letters, in the order of the raw topic. Raises `UserError` when it can't be read on."""
    there = set(partitions)
    in_order = sorted(waiting, key=lambda each: (each.letter.partition, each.letter.offset))
    for number, some in groupby(in_order, key=lambda each: each.letter.partition):
        if number in there:
            async for original in _of_partition(reader, TopicPartition(topic, number), deque(some)):
                yield original
        else:
            for each in some:
                yield Original(each, None)


async def _of_partition(
    reader: AIOKafkaConsumer, tp: TopicPartition, wanted: deque[Waiting]
) -> AsyncIterator[Original]:
    reader.assign([tp])
    position = (await reader.beginning_offsets([tp]))[tp]
    end = (await reader.end_offsets([tp]))[tp]
    reader.seek(tp, position)
    patience = Patience()
    while wanted:
        offset = wanted[0].letter.offset
        if offset < position or offset >= end:
            yield Original(wanted.popleft(), None)
            continue
        if offset - position > _NEAR:
            reader.seek(tp, offset)
        with patience.waiting():
            fetched = await reader.getmany(tp, timeout_ms=200, max_records=_AT_A_TIME)
        for record in fetched.get(tp, ()):
            while wanted and wanted[0].letter.offset <= record.offset:
                is_there = wanted[0].letter.offset == record.offset
                yield Original(wanted.popleft(), record if is_there else None)
        before, position = position, await reader.position(tp)
        patience.check(tp.topic, has_moved=position > before)
