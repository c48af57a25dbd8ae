"""The topics: their names, and making them with the partitions and settings that the design needs."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidPartitionsError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from kpi_app.errors import UserError
from kpi_app.settings import Settings
from kpi_app.stream.kafka import admin

#: More partitions than this a single table is not made for.
MAX_PARTITIONS = 64

#: Partitions of a raw topic that does not exist yet.
NEW_PARTITIONS = 8

#: Copies of each topic that we make, on a cluster that has as many brokers.
REPLICAS = 3

#: Asked to make a topic, a broker says so when it is there, too: it may be somebody else's to make.
_NO_RIGHTS = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError)

#: The changelog keeps the newest value of each key. Compacted only, never by age: a worker that was away
#: finds everything newer than its own copy. Tombstones stay a week for those.
CHANGELOG = {"cleanup.policy": "compact", "delete.retention.ms": str(7 * 86_400_000)}


@dataclass(frozen=True)
class Names:
    """The names that follow from a feed's raw topic; `app` is also the consumer group's."""

    raw: str

    @property
    def app(self) -> str:
        """The faust app's id: one group a raw topic."""
        return f"kpi-{self.raw}"

    @property
    def changelog(self) -> str:
        """The table's changelog, under the name that faust gives it."""
        return f"{self.app}-{TABLE}-changelog"

    @property
    def rejected(self) -> str:
        """The dead letters."""
        return f"{self.raw}-rejected"

    def transactional_id(self, partition: int) -> str:
        """Of the producer that writes a partition's checkpoints."""
        return f"{self.app}-{partition}"

    @property
    def replay(self) -> str:
        """The transactional id of the producer that sends dead letters' lines through again."""
        return f"{self.app}-replay"


#: The table's name in faust, as `/table/` shows it.
TABLE = "segments"


async def ensure_raw_topic(settings: Settings) -> None:
    """Make the raw topic, where it is missing: all that a shipper needs, or may. Raises `UserError`."""
    async with admin(settings) as client:
        await _ensure(client, settings.topic, NEW_PARTITIONS)


async def ensure_topics(settings: Settings, partitions: int = NEW_PARTITIONS) -> int:
    """Make what is missing, the raw topic with so many partitions; returns how many it has. Raises `UserError`."""
    names = Names(settings.topic)
    async with admin(settings) as client:
        raw = await _ensure(client, names.raw, partitions)
        if raw > MAX_PARTITIONS:
            raise UserError(f"KPI_TOPIC={names.raw}: {raw} partitions; at most {MAX_PARTITIONS} are supported")
        await _ensure(client, names.changelog, raw, CHANGELOG)
        await _ensure(client, names.rejected, raw)
    return raw


async def _ensure(
    client: AIOKafkaAdminClient, topic: str, partitions: int, config: dict[str, Any] | None = None
) -> int:
    """Make a topic, or give it more partitions; returns how many it has."""
    replicas = min(REPLICAS, len((await client.describe_cluster())["brokers"]))
    response = await client.create_topics([NewTopic(topic, partitions, replicas, topic_configs=config or {})])
    code = response.topic_errors[0][1]
    if code == 0:
        return partitions
    found = await (_count_visible if for_code(code) in _NO_RIGHTS else _count)(client, topic, code)
    if config is not None and found < partitions:
        with suppress(InvalidPartitionsError):  # it has as many by now: another worker was quicker
            grown = await client.create_partitions({topic: NewPartitions(total_count=partitions)})
            _check(topic, grown.topic_errors[0][1])
        return partitions
    return found


async def _count(client: AIOKafkaAdminClient, topic: str, code: int) -> int:
    _check(topic, code, allowed=TopicAlreadyExistsError)
    [described] = await client.describe_topics([topic])
    if for_code(described["error_code"]) in _NO_RIGHTS:  # to make, yes, but neither to read nor to write
        _check(topic, described["error_code"])
    return len(described["partitions"])


async def _count_visible(client: AIOKafkaAdminClient, topic: str, code: int) -> int:
    """How many partitions a topic has that is not ours to make. Raises `UserError` where it is not there for us."""
    # Not by its name: a broker with auto.create.topics.enable makes a topic that it is asked for.
    found = {each["topic"]: each["partitions"] for each in await client.describe_topics()}
    if topic not in found:
        raise UserError(
            f"topic {topic}: it is missing, or hidden from this user of Kafka, who may not make it "
            f"({for_code(code).__name__}): make it, and grant what deploy/kafka/acls.sh does"
        )
    return len(found[topic])


def _check(topic: str, code: int, allowed: type[KafkaError] | None = None) -> None:
    error = for_code(code)
    if code and error is not allowed:
        raise UserError(f"topic {topic}: {error.__name__}: {error.description}")
