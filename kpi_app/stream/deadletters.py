"""Dead letters: lines that could not be read, with the reason, on a topic of their own.

Read that topic with `isolation.level=read_committed`: a dead letter is part of its checkpoint's transaction.
"""

from typing import NamedTuple

import orjson

#: Bytes of the line that a dead letter keeps; the whole of it is in the raw topic, at the offset given.
KEPT_BYTES = 16_384


class DeadLetter(NamedTuple):
    """A rejected line and where it is in the raw topic."""

    topic: str
    partition: int
    offset: int
    #: The Kafka record's own time, milliseconds; None where it has none.
    timestamp_ms: int | None
    reason: str
    value: bytes | None

    def encode(self) -> bytes:
        """JSON: reason, topic, partition, offset, timestamp, and the value as text (U+FFFD where it is not UTF-8)."""
        kept = (self.value or b"")[:KEPT_BYTES]
        return orjson.dumps(
            {
                "reason": self.reason,
                "topic": self.topic,
                "partition": self.partition,
                "offset": self.offset,
                "timestamp": self.timestamp_ms,
                "value": None if self.value is None else kept.decode("utf-8", "replace"),
                "truncated": self.value is not None and len(self.value) > KEPT_BYTES,
            }
        )
