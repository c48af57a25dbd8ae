"""Letters: the topic of dead letters, read from its start to where it ended when the reading began.

[ letter | letter | receipt | letter | ... )   its end, undecided transactions included
              ^--------'
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError, TransactionalIdAuthorizationFailed

from kpi_app.errors import UserError
from kpi_app.rejected.patience import Patience
from kpi_app.settings import Settings
from kpi_app.sources.connection import text_of
from kpi_app.stream.deadletters import Letter, Receipt, read_back
from kpi_app.stream.kafka import admin, changelog_reader, connection
from kpi_app.stream.topics import Names

#: Records that are taken at a time: values of letters are some kilobytes at most.
_AT_A_TIME = 2_000

#: Hears how many offsets of how many are read.
Told = Callable[[int, int], None]


class Place(NamedTuple):
    """Where a letter is in the topic of dead letters."""

    partition: int
    offset: int


class Found(NamedTuple):
    """A record of the topic of dead letters; `content` is None where this version did not write it."""

    place: Place
    content: Letter | Receipt | None


class Receipts:
    """The letters that have a receipt."""

    def __init__(self) -> None:
        # offsets of letter and line by what many have in common: the letter's partition, the line's, the birth
        self._known: dict[tuple[int, int, str], set[tuple[int, int]]] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    def note(self, some: list[Found]) -> None:
        """Take in the receipts among some records."""
        for place, content in some:
            # one in front of its letter is of another that was there before the topic was made anew
            if isinstance(content, Receipt) and content.letter_offset < place.offset:
                common = place.partition, content.partition, content.birth
                self._known.setdefault(common, set()).add((content.letter_offset, content.offset))

    def hold(self, place: Place, letter: Letter) -> bool:
        """Whether there is one for this letter: for what it tells of, not only for its place."""
        known = self._known.get((place.partition, letter.partition, letter.birth), ())
        return (place.offset, letter.offset) in known


class Letters:
    """The records of the topic of dead letters. May be gone through several times."""

    def __init__(self, reader: AIOKafkaConsumer, raw: str, ends: dict[TopicPartition, int]) -> None:
        self._reader = reader
        self._raw = raw
        self._ends = ends

    async def found(self, told: Told) -> AsyncIterator[list[Found]]:
        """All records in the order of each partition. Raises `UserError` when they can't be read on."""
        self._reader.assign(list(self._ends))
        first = await self._reader.beginning_offsets(list(self._ends))
        for tp, offset in first.items():
            self._reader.seek(tp, offset)
        total = sum(max(0, end - first[tp]) for tp, end in self._ends.items())
        behind, patience = {tp for tp, end in self._ends.items() if first[tp] < end}, Patience()
        while behind:
            with patience.waiting():
                fetched = await self._reader.getmany(*behind, timeout_ms=200, max_records=_AT_A_TIME)
            patience.check(next(iter(behind)).topic, has_moved=bool(fetched))
            if fetched:
                yield [each for tp, records in fetched.items() for each in self._read_back(tp, records)]
            # positions, not records: a transaction ends with a marker, which is never delivered
            behind = {tp for tp in behind if await self._reader.position(tp) < self._ends[tp]}
            left = sum([self._ends[tp] - await self._reader.position(tp) for tp in behind])
            told(total - left, total)

    def _read_back(self, tp: TopicPartition, records: list[Any]) -> Iterator[Found]:
        for record in records:
            if record.offset < self._ends[tp]:
                yield Found(Place(tp.partition, record.offset), read_back(record.value, self._raw))

    async def receipts(self, told: Told) -> Receipts:
        """The letters whose lines were sent through again."""
        replayed = Receipts()
        async for some in self.found(told):
            replayed.note(some)
        return replayed


@asynccontextmanager
async def letters(settings: Settings) -> AsyncIterator[Letters]:
    """The dead letters as they are now. Raises `UserError` where there is no such topic."""
    names = Names(settings.topic)
    numbers = await partitions(settings, names.rejected)
    ends = await _ends(settings, [TopicPartition(names.rejected, number) for number in numbers])
    async with changelog_reader(settings) as reader:
        yield Letters(reader, names.raw, ends)


async def partitions(settings: Settings, topic: str) -> list[int]:
    """The numbers of a topic's partitions. Raises `UserError` where there is none."""
    async with admin(settings) as client:
        # Not by its name: a broker with auto.create.topics.enable makes a topic that it is asked for.
        found = {each["topic"]: each["partitions"] for each in await client.describe_topics()}
    if topic not in found:
        raise UserError(
            f"topic {topic}: there is none, or it is hidden from this user of Kafka: "
            "has a worker run yet, and is KPI_TOPIC the one it reads?"
        )
    return sorted(each["partition"] for each in found[topic])


async def _ends(settings: Settings, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
    # Not the ends that a reader of committed records is told: what was committed behind an open transaction
    # lies after these.
    async with AIOKafkaConsumer(**connection(settings)) as reader:
        ends: dict[TopicPartition, int] = await reader.end_offsets(tps)
    return ends


@contextmanager
def answering(settings: Settings) -> Iterator[None]:
    """What Kafka says in the block that is no answer raises `UserError`."""
    where = f"KPI_BROKERS={settings.brokers}"
    try:
        yield
    except (TopicAuthorizationFailedError, TransactionalIdAuthorizationFailed) as error:
        raise UserError(
            f"Kafka does not let this user do that: {type(error).__name__}; deploy/kafka/acls.sh grants it"
        ) from error
    except (KafkaError, TimeoutError) as error:
        raise UserError(f"{where}: {text_of(error)}") from error
