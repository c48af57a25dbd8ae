"""Kafka values become lines: what Fluent Bit writes, bare lines, and anything else that may come."""

import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kpi_app.feeds.envelope import MAX_LINE_BYTES, decode, read
from tests.feeds.nasty import VALUES
from tests.recount import unwrap

LINE = '10.2.3.4 - - [18/Dec/2023:23:27:46 +0000] "GET /x HTTP/1.1" 200 22167 "-" "Mozilla/5.0" "-"'
ESCAPED = LINE.replace('"', '\\"')


def decoded(*values: bytes | None) -> list[tuple[str | None, str | None]]:
    return decode(values).rows()


@pytest.mark.parametrize(
    "value",
    [
        f'{{"@timestamp":"2026-11-22T11:04:14.479655Z","path":"/var/log/a.log","offset":264,"log":"{ESCAPED}"}}',
        f'{{"@timestamp":1795343754.046326,"path":"/var/log/a.log","offset":0,"log":"{ESCAPED}"}}',
        f'{{"@timestamp":1795343754,"log":"{ESCAPED}"}}',
        f'{{"log":"{ESCAPED}"}}',
        f'{{"log":"{ESCAPED}","offset":264,"path":"/var/log/a.log","@timestamp":"2026-11-22T11:04:14Z"}}',
        f'{{"tag":{{"a":[1,2]}},"log":"{ESCAPED}","stream":null}}',
        f'{{ "path": "/är/log", "log": "{ESCAPED}" }}',
        f'{{"path":"/\\u00e4r/log","log":"{ESCAPED}"}}',
        f'{{"path":"a \\"log\\":\\" b","log":"{ESCAPED}"}}',
        f'{{"log":5,"log":"{ESCAPED}"}}',
        LINE,
    ],
)
def test_line_is_taken_out_of_every_form_that_a_shipper_writes(value: str) -> None:
    """Any order of keys, more keys or fewer, a bare line: the line is the same."""
    assert decoded(value.encode()) == [(LINE, None)]


def test_json_line_is_bare_or_in_an_envelope() -> None:
    """An object with a status is a line of its own, unless it has a `log`."""
    line = '{"time_iso8601": "2023-05-23T14:21:08+00:00", "status": "200", "remote_addr": "192.0.2.7"}'
    assert decoded(line.encode(), json.dumps({"log": line}).encode()) == [(line, None)] * 2
    assert decoded(b'{"status":"200","log":"x"}', b'{"status":"200","log":5}') == [("x", None), (None, "json")]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "format"),
        (b"{", "json"),
        (b"{}", "json"),
        (b'{"log":5}', "json"),
        (b'{"log":null}', "json"),
        (b'{"log":["x"]}', "json"),
        (b'{"log":"x"} trailing', "json"),
        (b'{"log":"x"}{"log":"y"}', "json"),
        (b'{"log":"tab\there"}', "json"),
        (b'{"log":"\\ud800"}', "json"),
        (b'{"log":"x","n":01}', "json"),
        (b'{"message":"x"}', "json"),
        (b'{"log":"\xff"}', "encoding"),
        (b"\xff\xfe", "encoding"),
        (b"\xed\xa0\x80", "encoding"),
        (b"x" * (MAX_LINE_BYTES + 1), "oversize"),
        (b'{"log":"' + b"x" * MAX_LINE_BYTES + b'"}', "oversize"),
        (b"\xff" * (MAX_LINE_BYTES + 1), "oversize"),
    ],
)
def test_value_without_a_line_has_a_reason(value: bytes | None, reason: str) -> None:
    """What is wrong with a value is said in one word."""
    assert decoded(value) == [(None, reason)]


@pytest.mark.parametrize("line", ["", " ", '"', "\\", 'a\\"b\\\\"c', "\0", "é", "😀", "a\nb", " {", "\ufeff{}", "/"])
def test_any_text_survives_the_envelope(line: str) -> None:
    """Escapes of every kind give back the text that was wrapped."""
    forms = [json.dumps({"log": line}), json.dumps({"log": line}, ensure_ascii=False, separators=(",", ":"))]
    assert decoded(*(form.encode() for form in forms)) == [(line, None)] * 2
    assert decoded(line.encode()) == [(line, None)]


def test_longest_value_is_read() -> None:
    """The limit itself is within it."""
    value = b'{"log":"' + b"x" * (MAX_LINE_BYTES - 10) + b'"}'
    assert len(value) == MAX_LINE_BYTES
    assert decoded(value, b"y" * MAX_LINE_BYTES) == [(value[8:-2].decode(), None), ("y" * MAX_LINE_BYTES, None)]
    assert decoded(value.replace(b":", b": ").replace(b"x", b"", 1)) == [(value[9:-2].decode(), None)]


@settings(max_examples=300)
@given(st.lists(VALUES, max_size=20))
@example([])
@example([b'{"log":"a","log":"b"}', b'{"log":5}', b'{"log":"\\ud800"}'])
@example([b'{"path":"\xc3\xa9","log":"x"}', b'{"log":"x"}\n{"log":"y"}'])
def test_batch_gives_what_each_value_alone_gives(values: list[bytes | None]) -> None:
    """The columns decide exactly as the careful reading of one value, whatever its neighbours hold."""
    assert decoded(*values) == [read(value) for value in values]


@given(
    st.text(),
    st.dictionaries(st.sampled_from(["@timestamp", "path", "offset", "log", "x", "log "]), st.text() | st.integers()),
    st.booleans(),
)
def test_wrapped_text_is_unwrapped(line: str, others: dict[str, object], ascii_only: bool) -> None:
    """Whatever JSON an object with a text `log` is written as, that text is the line."""
    value = json.dumps({**others, "log": line}, ensure_ascii=ascii_only, separators=(",", ":")).encode()
    assert decoded(value) == [(line, None)]
    assert unwrap(value) == line


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"log":', b'{"log":[', b'"', b"\\", b'{"log":"\\', b'{"log":"'])
def test_no_value_stops_or_holds_up_the_reader(opening: bytes) -> None:
    """Nesting as deep as a value can be ends in a reason, within milliseconds."""
    value = (b'{"x":' + opening * MAX_LINE_BYTES)[:MAX_LINE_BYTES]
    began = time.perf_counter()
    assert decoded(value, b"{" + value[1:], b'{"log":"x"}')[2] == ("x", None)
    assert time.perf_counter() - began < 1
