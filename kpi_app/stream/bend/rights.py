"""Rights that Kafka does not give us end the worker in one line.

aiokafka raises it to whoever asks for records: before the first assignment nobody does, and the worker would wait for
ever; later faust would end in a page of tracebacks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import aiokafka
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from kpi_app.stream.bend.stop import stop_worker

_MISSING = (GroupAuthorizationFailedError, TopicAuthorizationFailedError)


@contextmanager
def needed() -> Iterator[None]:
    """What is done in the block needs rights."""
    try:
        yield
    except _MISSING as error:
        _stop(error)


def watch(consumer: aiokafka.AIOKafkaConsumer) -> None:
    """Heed what the group says. `consumer` is started, and a member of one."""
    coordinator = consumer._coordinator
    push = coordinator._push_error_to_user

    def heed(error: BaseException) -> Any:
        if isinstance(error, _MISSING):
            _stop(error)
        return push(error)

    coordinator._push_error_to_user = heed


def _stop(missing: Exception) -> NoReturn:
    stop_worker("Kafka does not let this user read; deploy/kafka/acls.sh grants it", missing)
