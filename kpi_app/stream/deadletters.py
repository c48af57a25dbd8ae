"""Dead letters: lines that could not be read, with the reason, on a topic of their own.

Read that topic with `isolation.level=read_committed`: a dead letter is part of its checkpoint's transaction. Behind a
letter, in its partition, there may be its receipt: its line was sent through again.
"""

from typing import Any, NamedTuple, TypeGuard

import orjson
from faust.types import TP

from kpi_app.feeds.addresses import anonymised_start
from kpi_app.feeds.base import REASONS

#: Bytes of the value that a dead letter keeps; the whole of it is in the raw topic, at the offset given. A whole
#: batch may be rejected and has to fit in one transaction.
KEPT_BYTES = 4_096

#: The header of a line that was sent through again: the birth of the books that rejected it.
REPLAY_HEADER = "kpi-replay"


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

    def encode(self, birth: str = "") -> bytes:
        """JSON: what `Letter` says, with the value as text (U+FFFD where it is not UTF-8).

        `birth`: of the books that count the line as rejected.
        """
        return orjson.dumps(
            {
                "reason": self.reason,
                "topic": self.topic,
                "partition": self.partition,
                "offset": self.offset,
                "timestamp": self.timestamp_ms,
                "value": _text(self.kept),
                "truncated": self.truncated,
                "birth": birth,
            }
        )


class Letter(NamedTuple):
    """A dead letter as it is read back."""

    #: Of the raw topic.
    partition: int
    offset: int
    timestamp_ms: int | None
    reason: str
    #: The beginning of the value, perhaps anonymised: for people.
    text: str | None
    truncated: bool
    #: Of the books that rejected the line; empty in letters of the first versions.
    birth: str

    def is_of(self, timestamp_ms: int | None, value: bytes | None) -> bool:
        """Whether it tells of a record with this time and value."""
        texts = [_text(None if value is None else _start(value, anonymised)) for anonymised in (True, False)]
        return _time(timestamp_ms) == self.timestamp_ms and self.text in texts


class Receipt(NamedTuple):
    """A letter's line was sent through again; it lies in the letter's partition, behind it.

    Besides where the letter is it says what the letter tells of: after `kpi reset` another one may be there.
    """

    #: Of the letter, in the topic of dead letters.
    letter_offset: int
    reason: str
    #: Of the line, in the raw topic.
    partition: int
    offset: int
    #: The letter's.
    birth: str

    @classmethod
    def of(cls, letter_offset: int, letter: Letter) -> "Receipt":
        """For the letter at this offset."""
        return cls(letter_offset, letter.reason, letter.partition, letter.offset, letter.birth)

    def encode(self) -> bytes:
        """JSON: `replayed`, the letter's offset, and what is the letter's: `reason`, `partition`, `offset`, `birth`."""
        return orjson.dumps(
            {
                "replayed": self.letter_offset,
                "reason": self.reason,
                "partition": self.partition,
                "offset": self.offset,
                "birth": self.birth,
            }
        )


def read_back(value: bytes | None, topic: str) -> Letter | Receipt | None:
    """What a record of the topic of dead letters of `topic` is; None where it is neither, or of another topic."""
    try:
        told = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(told, dict) or told.get("reason") not in REASONS:
        return None
    if "replayed" in told:
        return _receipt(told)
    return _letter(told) if told.get("topic") == topic else None


def _receipt(told: dict[str, Any]) -> Receipt | None:
    replayed, partition, offset, birth = (told.get(name) for name in ("replayed", "partition", "offset", "birth"))
    if not (_is_number(replayed) and _is_number(partition) and _is_number(offset) and isinstance(birth, str)):
        return None
    return Receipt(replayed, told["reason"], partition, offset, birth)


def _letter(told: dict[str, Any]) -> Letter | None:
    partition, offset, stamp = told.get("partition"), told.get("offset"), told.get("timestamp")
    text, birth = told.get("value"), told.get("birth", "")
    if not (_is_number(partition) and _is_number(offset) and (stamp is None or type(stamp) is int)):
        return None
    if not (isinstance(text, str | None) and isinstance(birth, str)):
        return None
    return Letter(partition, offset, _time(stamp), told["reason"], text, told.get("truncated") is True, birth)


def _is_number(value: object) -> TypeGuard[int]:
    """Whether it can be an offset or the number of a partition."""
    return type(value) is int and 0 <= value < 1 << 63


def _time(timestamp_ms: int | None) -> int | None:
    return None if timestamp_ms is None or timestamp_ms < 0 else timestamp_ms


def _text(kept: bytes | None) -> str | None:
    return None if kept is None else kept.decode("utf-8", "replace")


def _start(value: bytes, anonymise_ip: bool) -> bytes:
    return anonymised_start(bytes(value), KEPT_BYTES) if anonymise_ip else bytes(value[:KEPT_BYTES])
