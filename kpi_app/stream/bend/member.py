"""A worker's place in its group outlives its process: static membership (KIP-345).

The place belongs to the data directory, whose lock keeps it to one process. Who comes back to it within the session
timeout, after `kill -9` too, goes on with the partitions it had, and nobody else notices. Who stops in order leaves.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiokafka

#: Where a data directory keeps the name of its place.
FILE = "instance"


def instance_id(data_dir: Path) -> str:
    """The name of this directory's place, made at random the first time. Raises `OSError`."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / FILE
    named = path.read_text().strip() if path.exists() else ""
    if not named:
        named = uuid4().hex
        path.write_text(f"{named}\n")
    return named


def leave_at_the_end(consumer: aiokafka.AIOKafkaConsumer) -> None:
    """Have the consumer leave its group when it stops; aiokafka has those with a place of their own stay."""
    consumer._coordinator._group_instance_id = None


def watch_partitions(consumer: aiokafka.AIOKafkaConsumer, topic: str, assigned: Callable[[], int]) -> None:
    """Join anew when the topic has more partitions than the group has `assigned`. `consumer` is started.

    Only a group's leader has aiokafka compare; one that came back to its place leads, and does not know it.
    """

    def compare(cluster: Any) -> None:
        if 0 < assigned() < len(cluster.partitions_for_topic(topic) or ()):
            consumer._coordinator.request_rejoin()

    consumer._client.cluster.add_listener(compare)
