"""A segment: what one source partition contributed to one base window.

`part` 0 holds the lines that were on time. Late lines go to part `1 + offset // LATE_BLOCK`, so that a
late line opens a new, small segment instead of one that has already left the state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, NamedTuple, TypeVar

import cramjam
import orjson
import polars as pl

from kpi_app.core.aggregates import Measure, Value

#: Offsets that share one part for their late lines (SPEC: n = 1 + offset // 16384).
LATE_BLOCK = 16_384

#: First byte of an encoded segment; a later format takes the next number and keeps reading this one.
FORMAT = 3

#: The format before it, of which everything is in the body.
_HEADLESS = 2

#: What comes before the body: format, offset, requests.
_HEAD = Struct(">Bqq")

#: Of zstd; higher ones take longer and gain little.
_LEVEL = 1

Offset = TypeVar("Offset", int, pl.Expr)


class SegmentKey(NamedTuple):
    """Which segment of a partition: the base window's start (epoch seconds) and the part."""

    window_start_s: int
    part: int

    def encode(self) -> bytes:
        """As the table and its changelog hold it; readable, for those who look into either."""
        return b"%d/%d" % self

    @classmethod
    def decode(cls, key: bytes) -> "SegmentKey":
        """What `encode` made. Raises `ValueError` for anything else."""
        start, part = key.split(b"/")
        return cls(int(start), int(part))


def late_part(offset: Offset) -> Offset:
    """Give the part of a late line at this offset, or of those at a column of offsets."""
    return 1 + offset // LATE_BLOCK


@dataclass
class Segment:
    """Accumulated measures by name; `offset` is that of the checkpoint that last wrote it."""

    values: dict[str, Value]
    offset: int = -1

    @property
    def requests(self) -> int:
        """Lines counted, which every feed measures under this name."""
        return int(self.values["requests"])


def empty(measures: Sequence[Measure]) -> Segment:
    """The segment of no lines."""
    return Segment({m.name: m.aggregate.zero() for m in measures})


def absorb(into: Segment, values: dict[str, Value], measures: Sequence[Measure]) -> None:
    """Add the values of more lines to a segment, in place."""
    for measure in measures:
        into.values[measure.name] = measure.aggregate.merge(into.values[measure.name], values[measure.name])


class Head(NamedTuple):
    """What the index knows of a segment in the table: read without decoding its body."""

    offset: int
    requests: int


def encode(segment: Segment, measures: Sequence[Measure]) -> bytes:
    """A head, then JSON, compressed by zstd: the same bytes for the same values."""
    values = {m.name: m.aggregate.dump(segment.values[m.name]) for m in measures}
    body = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    return _HEAD.pack(FORMAT, segment.offset, segment.requests) + bytes(cramjam.zstd.compress(body, level=_LEVEL))


def head(data: bytes) -> Head:
    """Read the head of what `encode` made: a take-over looks at every segment, and needs the body of few.

    Raises `ValueError` as `decode` does.
    """
    if data[:1] == bytes([_HEADLESS]):
        body = _body(data[1:])
        return Head(body["o"], body["v"]["requests"])
    if data[:1] != bytes([FORMAT]):
        raise ValueError(f"segment format {data[:1]!r} is not one that this version of kpi_app reads ({FORMAT})")
    if len(data) < _HEAD.size:
        raise ValueError(f"a segment's bytes are damaged: {len(data)} of them")
    _, offset, requests = _HEAD.unpack_from(data)
    return Head(offset, requests)


def decode(data: bytes, measures: Sequence[Measure]) -> Segment:
    """Read what `encode` made; a measure that the writer did not know yet is zero.

    Raises `ValueError` for anything else, a later version's bytes among it.
    """
    offset = head(data).offset
    values = _body(data[1:])["v"] if data[:1] == bytes([_HEADLESS]) else _body(data[_HEAD.size :])
    segment = empty(measures)
    for measure in measures:
        if measure.name in values:
            segment.values[measure.name] = measure.aggregate.load(values[measure.name])
    segment.offset = offset
    return segment


def _body(data: bytes) -> dict[str, Any]:
    try:
        body: dict[str, Any] = orjson.loads(bytes(cramjam.zstd.decompress(data)))
    except cramjam.DecompressionError as broken:
        raise ValueError(f"a segment's bytes are damaged: {broken}") from broken
    return body
