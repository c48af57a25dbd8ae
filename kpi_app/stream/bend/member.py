"""A worker's place in its group outlives its process: static membership (KIP-345).

The place is that of a data directory, on this host and under this URL. A lock keeps the directory to one process, from
before it joins: at the broker the one who comes last has the place, and RocksDB's own locks come later. Who comes back
within the session timeout, after `kill -9` too, goes on with the partitions it had, and nobody else notices. Who stops
in order leaves.
"""

import asyncio
import fcntl
import os
import re
import socket
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiokafka
from aiokafka import errors

from kpi_app.errors import UserError
from kpi_app.stream.bend import rights
from kpi_app.stream.bend.stop import stop_worker

#: Where a data directory keeps its name, and what is locked in it.
FILE, LOCK = "instance", "lock"

_NAME = re.compile(rb"([0-9a-f]{32})\n?")


class PlaceTaken(errors.BrokerResponseError):
    """FENCED_INSTANCE_ID, which aiokafka does not know."""

    errno = 82
    message = "FENCED_INSTANCE_ID"

    def __repr__(self) -> str:  # aiokafka hands on no more of it
        return "another worker has this place in the group: was its data directory copied?"


errors.kafka_errors[PlaceTaken.errno] = PlaceTaken


def take_place(data_dir: Path, url: str) -> str:
    """Hold the directory for the life of this process; returns the name of its place in the group.

    Another host or URL is another place: the broker would give back the assignment of the old one, which faust can't
    take. Raises `UserError`.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        _hold(data_dir)
        name = _name(data_dir / FILE)
    except BlockingIOError:
        raise UserError(
            f"another worker uses {data_dir}: stop that one, or set KPI_DATA_DIR to another directory"
        ) from None
    except OSError as error:
        raise UserError(f"cannot write to {data_dir}: {error.strerror}") from error
    return sha256(f"{name} {socket.gethostname()} {url}".encode()).hexdigest()[:32]


def _hold(data_dir: Path) -> None:
    """The system lets go when the process is gone: the descriptor stays open."""
    descriptor = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise


def _name(path: Path) -> str:
    """The directory's name, made at random the first time and where the file was damaged."""
    if path.exists():
        with path.open("rb") as file:
            if named := _NAME.fullmatch(file.read(64)):
                return named[1].decode()
    name = uuid4().hex
    incoming = path.with_suffix(".new")
    with incoming.open("w") as file:
        file.write(f"{name}\n")
        file.flush()
        os.fsync(file.fileno())
    incoming.replace(path)
    return name


def leave_at_the_end(consumer: aiokafka.AIOKafkaConsumer) -> None:
    """Have the consumer leave its group when it stops; aiokafka has those with a place of their own stay."""
    consumer._coordinator._group_instance_id = None


def watch_place(consumer: aiokafka.AIOKafkaConsumer) -> None:
    """End the worker when it can't be a member any more. `consumer` is started.

    What aiokafka retries it does not push; what it pushes, it waits with until somebody asks for records, and before
    the first assignment nobody does. Of its coordination's own end nobody hears at all.
    """
    coordinator = consumer._coordinator
    push = coordinator._push_error_to_user

    def heed(error: Exception) -> Any:
        rights.check(error)
        if not (getattr(error, "retriable", False) or coordinator._closing.done()):
            stop_worker("the group does not keep it as a member", error)
        return push(error)

    def ended(coordination: "asyncio.Task[None]") -> None:
        if not (coordination.cancelled() or coordinator._closing.done()):
            stop_worker("its part in the group ended", coordination.exception())

    coordinator._push_error_to_user = heed
    coordinator._coordination_task.add_done_callback(ended)


def watch_partitions(consumer: aiokafka.AIOKafkaConsumer, topic: str, assigned: Callable[[], int]) -> None:
    """Join anew when the topic has more partitions than the group has `assigned`. `consumer` is started.

    Only a group's leader has aiokafka compare; one that came back to its place leads, and does not know it. Once for
    each number of partitions: who joins anew has the group assign all that there are, and `assigned` may be too low
    for ever, as faust tells workers apart by their URLs, which may be equal.
    """
    asked = 0

    def compare(cluster: Any) -> None:
        nonlocal asked
        there = len(cluster.partitions_for_topic(topic) or ())
        if asked < there and 0 < assigned() < there:
            asked = there
            consumer._coordinator.request_rejoin()

    consumer._client.cluster.add_listener(compare)
