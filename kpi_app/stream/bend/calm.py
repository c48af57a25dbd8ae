"""A calmer log: with the broker away aiokafka says the same few lines hundreds of times a second."""

import logging
from time import monotonic

#: The same line again after this time at the earliest.
AGAIN_AFTER_S = 10.0


class Calm(logging.Filter):
    """Lets each line of aiokafka's through once in `AGAIN_AFTER_S`; lines of others are none of its business."""

    def __init__(self) -> None:
        super().__init__()
        self._said_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be logged."""
        if not record.name.startswith("aiokafka"):
            return True
        now_s, line = monotonic(), record.getMessage()
        if now_s - self._said_s.get(line, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
            return False
        self._said_s = {other: said_s for other, said_s in self._said_s.items() if now_s - said_s < AGAIN_AFTER_S}
        self._said_s[line] = now_s
        return True
