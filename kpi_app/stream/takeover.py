"""Take-over: fence the predecessor, bring the table up to its changelog, and load the state.

    producer.start()   InitProducerId: the broker fences the previous owner and ends its transaction
    catch_up()         changelog, read_committed, from the table's own position to the end
    load()             the books, an index of the segments, and the files seen

Only then is the source positioned, at the books' next offset, never at the group's committed one.
"""

import asyncio
from collections.abc import Sequence
from time import monotonic
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition

from kpi_app.core import segment as segments
from kpi_app.core.aggregates import Measure
from kpi_app.core.fold import TimeRules
from kpi_app.core.state import PartitionState
from kpi_app.errors import StopWorker
from kpi_app.stream.bend.identity import identify
from kpi_app.stream.bend.stop import log
from kpi_app.stream.partition import set_back
from kpi_app.stream.table import TablePartition

#: How long a changelog may give nothing before the take-over is given up.
PATIENCE_S = 60.0


async def catch_up(reader: AIOKafkaConsumer, changelog: str, tables: dict[int, TablePartition]) -> None:
    """Bring each partition's table to the end of its changelog as it is now. `reader` is started.

    A table of another changelog of the same name (one from before a `kpi reset`, on another host) is read anew.
    Raises `StopWorker` when the changelog can't be read on for a minute.
    """
    births = {number: _birth(table) for number, table in tables.items()}
    await _read_to_end(reader, changelog, tables)
    strangers = {n: table for n, table in tables.items() if births[n] and births[n] != _birth(table)}
    for number, table in strangers.items():
        log.warning("%s was made anew: the local table of partition %d is discarded", changelog, number)
        table.clear()
    if strangers:
        await _read_to_end(reader, changelog, strangers)


def _birth(table: TablePartition) -> str | None:
    meta = table.meta()
    return meta.birth if meta else None


async def _read_to_end(reader: AIOKafkaConsumer, changelog: str, tables: dict[int, TablePartition]) -> None:
    tps = {TopicPartition(changelog, number): table for number, table in tables.items()}
    reader.assign(list(tps))
    first = await reader.beginning_offsets(list(tps))
    ends = await reader.end_offsets(list(tps))
    for tp, table in tps.items():
        reader.seek(tp, _resume_at(tp, table, first[tp], ends[tp]))
    behind, moved_s = set(tps), monotonic()
    while behind:
        fetched = await reader.getmany(*behind, timeout_ms=200)
        if fetched:
            moved_s = monotonic()
        elif monotonic() - moved_s > PATIENCE_S:
            raise StopWorker(f"{changelog} could not be read on for {PATIENCE_S:.0f} s: is the broker well?")
        for tp, records in fetched.items():
            tps[tp].write([(record.key, record.value) for record in records], records[-1].offset + 1)
        # positions, not records: a changelog ends with a transaction's marker, which is never delivered
        behind = {tp for tp in behind if await reader.position(tp) < ends[tp]}


def _resume_at(tp: TopicPartition, table: TablePartition, first: int, end: int) -> int:
    position = table.position
    if position > end:
        log.warning("%s was made anew: the local table of partition %d is discarded", tp.topic, tp.partition)
        table.clear()
        position = 0
    return max(position, first)


def load_state(
    topic: str, number: int, table: TablePartition, rules: TimeRules, measures: Sequence[Measure]
) -> PartitionState:
    """The state as the table has it. Raises `StopWorker` when it can't be a checkpoint's."""
    meta = table.meta()
    if meta and meta.overtaken >= 0:
        raise StopWorker(set_back(topic, number, meta))

    def check(what: str, offset: int) -> None:
        if meta is None or offset > meta.offset:
            raise StopWorker(
                f"partition {number}: {what} of offset {offset} is ahead of its books "
                f"({meta.offset if meta else 'none'}): the changelog was written by something else"
            )

    live = {}
    for key, data in table.segments():
        live[key] = segments.head(data)
        check(f"segment {key}", live[key].offset)
    seen = {each.file.key: each for each in table.files()}
    for each in seen.values():
        check(f"file {each.file.name!r}", each.touched)
    return PartitionState(rules, measures, table.load, meta, live, birth=uuid4().hex, seen=seen)


async def check_source(reader: AIOKafkaConsumer, topic: str, states: dict[int, PartitionState]) -> None:
    """Raise `StopWorker` when the raw topic is not the one that was counted, or ends below what was counted of it."""
    tps = {TopicPartition(topic, number): state for number, state in states.items()}
    topic_id = await asyncio.wait_for(identify(reader, topic), 30)
    ends = await asyncio.wait_for(reader.end_offsets(list(tps)), 30)
    for tp, state in tps.items():
        check_id(topic, tp.partition, state, topic_id)
        if ends[tp] < state.ledger.next_offset:
            raise StopWorker(made_anew(topic, tp.partition, ends[tp], state.ledger.next_offset))
        state.topic_id = topic_id or state.topic_id


def check_id(topic: str, partition: int, state: PartitionState, topic_id: str) -> None:
    """Raise `StopWorker` when a topic with this id is not the one that was counted; an empty one is not known."""
    if topic_id and state.topic_id and topic_id != state.topic_id:
        raise StopWorker(
            f"topic {topic}, partition {partition}: offsets below {state.ledger.next_offset} are counted of the topic "
            f"with id {state.topic_id}, this one's is {topic_id}. It was made anew, or is another cluster's; "
            "`kpi reset` forgets what was counted and starts over"
        )


def made_anew(topic: str, partition: int, end: int, counted: int) -> str:
    """What is said when a raw topic holds less than was counted of it."""
    return (
        f"topic {topic}, partition {partition}: it goes on at offset {end}, but offsets below {counted} are counted "
        "already. It was made anew; `kpi reset` forgets what was counted and starts over"
    )
