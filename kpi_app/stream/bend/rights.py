"""Rights that Kafka does not give us end the worker in one line.

aiokafka raises it to whoever asks for records: before the first assignment nobody does, and the worker would wait for
ever; later faust would end in a page of tracebacks.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from kpi_app.stream.bend.stop import stop_worker

_MISSING = (GroupAuthorizationFailedError, TopicAuthorizationFailedError)


@contextmanager
def needed() -> Iterator[None]:
    """What is done in the block needs rights."""
    try:
        yield
    except _MISSING as error:
        check(error)


def check(error: BaseException) -> None:
    """End the worker where that is what the error says."""
    if isinstance(error, _MISSING):
        stop_worker("Kafka does not let this user read; deploy/kafka/acls.sh grants it", error)
