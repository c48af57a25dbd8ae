"""Records: lines of a file become the values that Fluent Bit's Kafka output writes for them."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import accumulate
from typing import NamedTuple

import orjson

from kpi_app.feeds.envelope import MAX_LINE_BYTES
from kpi_app.sources.tail import Block

_CONTROL = re.compile(r"[\x00-\x1f]")


class Origin(NamedTuple):
    """What tells a file from all others."""

    host: str
    #: See `Positions`.
    file: str


def encode(block: Block, path: str, read_at: datetime, origin: Origin | None = None) -> Iterator[bytes]:
    """Yield a JSON value for each line: `@timestamp`, `path`, `offset` and `log`, in this order.

    With an `origin` they have `host`, `file` and `end` (the first byte behind the line and its line end), too, so that
    workers know a line again that was sent twice. Bytes that are no UTF-8 become U+FFFD, and a carriage return at a
    line's end goes, as Fluent Bit does with `json.escape_unicode: false`. `read_at` is when the block was read; a naive
    time raises `ValueError`. A line too long to be read downstream still is there, bounded: under 0.8 MB, that is
    within what a broker takes.
    """
    start = _start(path, read_at, origin)
    dumps = orjson.dumps
    ends = [*accumulate((len(line) + 1 for line in block.lines[:-1]), initial=block.offset)][1:]
    offset = block.offset
    for line, end in zip(block.lines, [*ends, block.end], strict=True):
        text = line.decode("utf-8", "replace").removesuffix("\r")
        head = b"%b%d" % (start, offset) if origin is None else b'%b%d,"end":%d' % (start, offset, end)
        value = b'%b,"log":%b}' % (head, dumps(text))
        if len(value) > MAX_LINE_BYTES:
            # Rejected as oversize whatever it holds; a control character would be six bytes.
            value = b'%b,"log":%b}' % (head, dumps(_CONTROL.sub("\ufffd", text)))
        yield value
        offset = end


def _start(path: str, read_at: datetime, origin: Origin | None) -> bytes:
    if read_at.tzinfo is None:
        raise ValueError("a time needs its time zone")
    stamp = read_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    name = orjson.dumps(os.fsencode(path).decode("utf-8", "replace"))
    if origin is None:
        return b'{"@timestamp":"%b","path":%b,"offset":' % (stamp.encode(), name)
    host, file = orjson.dumps(origin.host), orjson.dumps(origin.file)
    return b'{"@timestamp":"%b","host":%b,"path":%b,"file":%b,"offset":' % (stamp.encode(), host, name, file)
