"""Records: JSON as Fluent Bit writes it."""

from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.feeds.envelope import MAX_LINE_BYTES, decode, decode_placed
from kpi_app.sources.records import Origin, encode
from kpi_app.sources.tail import Block

READ_AT = datetime(2026, 11, 22, 11, 4, 14, 479655, UTC)
lines_of_bytes = st.lists(st.binary(max_size=200).map(lambda line: line.replace(b"\n", b"")), min_size=1)


def block(*lines: bytes, offset: int = 0) -> Block:
    """The lines as they are read from a file."""
    return Block(offset, list(lines), offset + sum(map(len, lines)) + len(lines), 0)


def test_value_is_what_fluent_bit_writes() -> None:
    """Byte for byte the record that FLUENT BIT 5.1 was seen to write for the same line."""
    line = b'10.230.12.81 - - [18/Dec/2023:23:27:46 +0000] "GET /x HTTP/1.1" 200 22167 "-" "Mozilla/5.0" "-"'
    (value,) = encode(block(line, offset=264), "/var/log/nginx/access.log", READ_AT)
    assert value == (
        b'{"@timestamp":"2026-11-22T11:04:14.479655Z","path":"/var/log/nginx/access.log","offset":264,'
        b'"log":"10.230.12.81 - - [18/Dec/2023:23:27:46 +0000] \\"GET /x HTTP/1.1\\" 200 22167 \\"-\\"'
        b' \\"Mozilla/5.0\\" \\"-\\""}'
    )


@given(lines=lines_of_bytes, offset=st.integers(0, 2**50), path=st.text(st.characters(codec="utf-8")))
def test_any_bytes_become_json_with_their_offset(lines: list[bytes], offset: int, path: str) -> None:
    """Each value is JSON that holds the line's text and its first byte in the file."""
    for line, value in zip(lines, encode(block(*lines, offset=offset), path, READ_AT), strict=True):
        record = orjson.loads(value)
        assert list(record) == ["@timestamp", "path", "offset", "log"]
        assert record["path"] == path
        assert record["offset"] == offset
        assert record["log"] == line.decode("utf-8", "replace").removesuffix("\r")
        offset += len(line) + 1


@given(lines=lines_of_bytes)
def test_the_worker_reads_what_was_sent(lines: list[bytes]) -> None:
    """The envelope takes the same text out of the value, whatever the line holds."""
    read = decode(list(encode(block(*lines), "/x", READ_AT)))
    assert read["line"].to_list() == [line.decode("utf-8", "replace").removesuffix("\r") for line in lines]


@given(lines=lines_of_bytes, offset=st.integers(0, 2**50), newline=st.booleans())
def test_places_follow_each_other(lines: list[bytes], offset: int, newline: bool) -> None:
    """With an origin each value says where its line begins and ends: all of the block, and nothing twice."""
    whole = block(*lines, offset=offset)
    whole = whole if newline or not lines[-1] else whole._replace(end=whole.end - 1)
    values = list(encode(whole, "/x", READ_AT, Origin("web-1", "5d1f")))
    _, places = decode_placed(values)
    assert places is not None
    assert [file[1:] for file in places.files] == [("web-1", "/x", "5d1f")]
    spans = places.lines.select("start", "end").rows()
    assert [spans[0][0], *(end for _, end in spans)] == [*(start for start, _ in spans), whole.end]
    assert (spans[0][0], spans[-1][1]) == (offset, whole.end)
    assert list(orjson.loads(values[0])) == ["@timestamp", "host", "path", "file", "offset", "end", "log"]


def test_bytes_that_are_no_utf8_become_replacement_characters() -> None:
    """Latin-1's é is U+FFFD, a real one stays what it is, unescaped."""
    assert [orjson.loads(value)["log"] for value in encode(block(b"caf\xe9", "café".encode()), "/x", READ_AT)] == [
        "caf\ufffd",
        "café",
    ]
    (value,) = encode(block("é".encode()), "/x", READ_AT)
    assert "é".encode() in value


def test_empty_line_and_carriage_return() -> None:
    """An empty line is an empty log; a carriage return at the end belongs to the newline, but not to the offset."""
    values = [orjson.loads(value) for value in encode(block(b"", b"a\r", b"\r", b"b"), "/x", READ_AT)]
    assert [(value["offset"], value["log"]) for value in values] == [(0, ""), (1, "a"), (4, ""), (6, "b")]


def test_path_that_is_no_utf8_is_sent_too() -> None:
    """A file name may be any bytes."""
    (value,) = encode(block(b""), "/caf\udce9.log", READ_AT)
    assert orjson.loads(value)["path"] == "/caf\ufffd.log"


@pytest.mark.parametrize("byte", [b"x", b"\xff", b"\x01", b'"', b"\\"])
def test_longest_line_is_within_what_a_broker_takes(byte: bytes) -> None:
    """A cut line is too long for the worker, which counts it as oversize, and short enough for a broker's default."""
    (value,) = encode(block(byte * MAX_LINE_BYTES), "/x", READ_AT)
    assert MAX_LINE_BYTES < len(value) < 1_000_000
    assert decode([value])["reason"].to_list() == ["oversize"]
    assert orjson.loads(value)["offset"] == 0


def test_time_of_reading_is_utc() -> None:
    """Any time zone is written as Z; a naive time raises."""
    elsewhere = READ_AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    (value,) = encode(block(b""), "/x", elsewhere)
    assert orjson.loads(value)["@timestamp"] == "2026-11-22T11:04:14.479655Z"
    with pytest.raises(ValueError, match="time zone"):
        list(encode(block(b""), "/x", READ_AT.replace(tzinfo=None)))
