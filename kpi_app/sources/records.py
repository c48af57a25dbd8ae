"""Records: lines of a file become the values that Fluent Bit's Kafka output writes for them."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import orjson

from kpi_app.feeds.envelope import MAX_LINE_BYTES
from kpi_app.sources.tail import Block

_CONTROL = re.compile(r"[\x00-\x1f]")


def encode(block: Block, path: str, read_at: datetime) -> Iterator[bytes]:
    """Yield a JSON value for each line: `@timestamp`, `path`, `offset` and `log`, in this order.

    Bytes that are no UTF-8 become U+FFFD, and a carriage return at a line's end goes, as Fluent Bit does with
    `json.escape_unicode: false`. `read_at` is when the block was read; a naive time raises `ValueError`.
    A line too long to be read downstream still is there, bounded: under 0.8 MB, that is within what a broker takes.
    """
    start = _start(path, read_at)
    offset = block.offset
    dumps = orjson.dumps
    for line in block.lines:
        text = line.decode("utf-8", "replace").removesuffix("\r")
        value = b'%b%d,"log":%b}' % (start, offset, dumps(text))
        if len(value) > MAX_LINE_BYTES:
            # Rejected as oversize whatever it holds; a control character would be six bytes.
            value = b'%b%d,"log":%b}' % (start, offset, dumps(_CONTROL.sub("\ufffd", text)))
        yield value
        offset += len(line) + 1


def _start(path: str, read_at: datetime) -> bytes:
    if read_at.tzinfo is None:
        raise ValueError("a time needs its time zone")
    stamp = read_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    name = os.fsencode(path).decode("utf-8", "replace")
    return b'{"@timestamp":"%b","path":%b,"offset":' % (stamp.encode(), orjson.dumps(name))
