"""A calmer log: with the broker away aiokafka says the same few lines hundreds of times a second."""

import logging
from time import monotonic

from aiokafka.errors import GroupCoordinatorNotAvailableError

#: The same line again after this time at the earliest.
AGAIN_AFTER_S = 10.0


class Calm(logging.Filter):
    """Lets each line of aiokafka's through once in `AGAIN_AFTER_S`; lines of others are none of its business.

    That a group has no coordinator is no error of a new broker's, which makes the topic for it when first asked: it is
    let through when it has been so for that long.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said_s: dict[str, float] = {}
        #: When a coordinator was missing first, and last.
        self._missing_s = (0.0, -AGAIN_AFTER_S)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be logged."""
        if not record.name.startswith("aiokafka"):
            return True
        now_s, line = monotonic(), record.getMessage()
        if self._is_of_a_start(record, now_s):
            return False
        if now_s - self._said_s.get(line, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
            return False
        self._said_s = {other: said_s for other, said_s in self._said_s.items() if now_s - said_s < AGAIN_AFTER_S}
        self._said_s[line] = now_s
        return True

    def _is_of_a_start(self, record: logging.LogRecord, now_s: float) -> bool:
        args = record.args if isinstance(record.args, tuple) else ()
        if not any(isinstance(arg, GroupCoordinatorNotAvailableError) for arg in args):
            return False
        first_s, last_s = self._missing_s
        first_s = now_s if now_s - last_s >= AGAIN_AFTER_S else first_s
        self._missing_s = (first_s, now_s)
        return now_s - first_s < AGAIN_AFTER_S
