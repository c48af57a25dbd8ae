"""Dead letters: lines that could not be read, with the reason, on a topic of their own.

Read that topic with `isolation.level=read_committed`: a dead letter is part of its checkpoint's transaction.
"""

from typing import NamedTuple

import orjson
from faust.types import TP

from kpi_app.feeds.addresses import anonymised_start

#: Bytes of the value that a dead letter keeps; the whole of it is in the raw topic, at the offset given. A whole
#: batch may be rejected and has to fit in one transaction.
KEPT_BYTES = 4_096


class DeadLetter(NamedTuple):
    """A rejected line and where it is in the raw topic."""

    topic: str
    partition: int
    offset: int
    #: The Kafka record's own time, milliseconds; None where it has none.
    timestamp_ms: int | None
    reason: str
    #: The first bytes of the record's value; where addresses are anonymised, with none of them in full.
    kept: bytes | None
    truncated: bool

    @classmethod
    def of(
        cls, where: TP, offset: int, timestamp_ms: int | None, reason: str, value: bytes | None, anonymise_ip: bool
    ) -> "DeadLetter":
        """A rejected record; no more of it is held on to than its letter says."""
        truncated = value is not None and len(value) > KEPT_BYTES
        kept = None if value is None else _start(value, anonymise_ip)
        return cls(where.topic, where.partition, offset, timestamp_ms, reason, kept, truncated)

    def encode(self) -> bytes:
        """JSON: reason, topic, partition, offset, timestamp, and the value as text (U+FFFD where it is not UTF-8)."""
        return orjson.dumps(
            {
                "reason": self.reason,
                "topic": self.topic,
                "partition": self.partition,
                "offset": self.offset,
                "timestamp": self.timestamp_ms,
                "value": None if self.kept is None else self.kept.decode("utf-8", "replace"),
                "truncated": self.truncated,
            }
        )


def _start(value: bytes, anonymise_ip: bool) -> bytes:
    return anonymised_start(bytes(value), KEPT_BYTES) if anonymise_ip else bytes(value[:KEPT_BYTES])
