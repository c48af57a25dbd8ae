"""Places: where a line is from, as its envelope says it, and never as its text does."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.core.seen import File
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.envelope import decode_placed
from kpi_app.feeds.values import MAX_VALUE_BYTES
from tests.feeds.nasty import VALUES

WHOLE = {"@timestamp": "2026-11-22T11:04:14Z", "host": "web-1", "path": "/var/log/a.log", "file": "5d1f"}
LINE = '192.0.2.1 - - [23/May/2023:14:21:08 +0000] "GET /é HTTP/1.1" 200 17 "-" "Mozilla/5.0 (X11)"'
WHOLE |= {"offset": 264, "end": 391, "log": LINE}


def value(*, spaces: bool = False, **members: Any) -> bytes:
    """An envelope: in a shape that is looked at, or the same with spaces, which is read with care."""
    return json.dumps(WHOLE | members, separators=None if spaces else (",", ":"), ensure_ascii=False).encode()


def found(*values: bytes | None) -> list[tuple[File, int, int] | None]:
    lines, places = decode_placed(values, ACCESS.look)
    if places is None:
        return [None] * len(values)
    assert len(places.lines) == len(lines)
    return [None if file is None else (places.files[file], start, end) for file, start, end in places.lines.rows()]


@pytest.mark.parametrize("spaces", [False, True], ids=["with a look", "with care"])
def test_a_place_is_taken_out_of_an_envelope(spaces: bool) -> None:
    """The file by its three names, the line by its bytes."""
    [place] = found(value(spaces=spaces))
    assert place is not None
    assert place[0][1:] == ("web-1", "/var/log/a.log", "5d1f")
    assert place[1:] == (264, 391)
    assert len(place[0].key) == 16


def test_a_file_that_no_line_is_of_is_none() -> None:
    """A head that names one, before a tail that is no usual one or has no end."""
    head = b'{"host":"a","path":"/b","file":"c","offset":7,'
    assert decode_placed([head + b'"log":"junk"}', head + b'"end":7,"log":"junk"}'], ACCESS.look)[1] is None


def test_both_ways_of_reading_give_the_same_file() -> None:
    """A line that is read with care is of the same file as its neighbours."""
    values = [value(), value(spaces=True), value(log="\t"), None, b"bare", value(file="6")]
    lines, places = decode_placed(values, ACCESS.look)
    assert places is not None
    assert places.lines["file"].to_list() == [0, 0, 0, None, None, 1]
    assert len({place[0] for place in found(value(), value(spaces=True), value(log="\t")) if place}) == 1
    assert lines["line"].to_list() == [None, LINE, "\t", None, "bare", None]
    assert lines["client"].null_count() == 4


@pytest.mark.parametrize("spaces", [False, True], ids=["with a look", "with care"])
@pytest.mark.parametrize(
    "wrong",
    [
        *({name: None} for name in ("host", "path", "file", "offset", "end")),
        *({name: ""} for name in ("host", "path", "file")),
        {"host": 5},
        {"offset": "264"},
        {"offset": -1},
        {"offset": 264.0},
        {"offset": False},
        {"end": True, "offset": 0},
        {"end": 264},
        {"end": 10**18},
        {"end": 10**30},
        {"log": 5},
    ],
    ids=str,
)
def test_a_record_that_lacks_some_of_it_takes_no_part(wrong: dict[str, Any], spaces: bool) -> None:
    """Nothing is guessed at; a line beside it keeps its place."""
    given, last = found(value(spaces=spaces, **wrong), value())
    assert given is None
    assert last is not None
    [name] = list(wrong)[:1]
    missing = {key: each for key, each in (WHOLE | wrong).items() if key != name or name == "log"}
    assert found(json.dumps(missing).encode()) == [None]


def test_a_line_says_nothing_of_its_place() -> None:
    """Who writes into a log can't make a line another file's, nor a bare JSON line at all."""
    inner = '","host":"h","path":"/p","file":"f","offset":1,"end":2,"log":"x'
    [place] = found(value(log=inner))
    assert place is not None
    assert place[0].name == "5d1f"
    line = {**WHOLE, "time_iso8601": "2023-05-23T14:21:08+00:00", "status": "200", "remote_addr": "192.0.2.7"}
    del line["log"]
    assert found(json.dumps(line).encode(), json.dumps(line, separators=(",", ":")).encode()) == [None, None]
    assert found(json.dumps({"log": json.dumps(WHOLE)}).encode()) == [None]


@pytest.mark.parametrize("name", ["host", "path", "file"])
@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("x" * 200_000, "x" * MAX_VALUE_BYTES),
        ("\x1b[2J\0\u202e", "\ufffd[2J\ufffd\ufffd"),
        ("(none)", "\\(none)"),
        ("<script>", "<script>"),
    ],
    ids=["long", "control", "ours", "markup"],
)
def test_names_are_bounded_and_safe(name: str, hostile: str, shown: str) -> None:
    """As the values of dimensions are; the key still tells apart what looks alike."""
    (one, *_), (other, *_) = (
        place for place in found(value(**{name: hostile}), value(**{name: hostile + "2"})) if place
    )
    assert getattr(one, name if name != "file" else "name") == shown
    assert one.key != other.key


def test_names_do_not_run_into_each_other() -> None:
    """What is moved from the end of one to the start of the next is another file."""
    values = [value(host="ab", path="c"), value(host="a", path="bc"), value(host="abc", path="/", file="5d1f")]
    assert len({place[0].key for place in found(*values) if place}) == 3


@given(
    st.lists(
        VALUES
        | st.builds(lambda n, e, s: value(offset=n, end=e, spaces=s), st.integers(), st.integers(), st.booleans())
    )
)
def test_a_batch_gives_what_each_value_alone_gives(values: list[bytes | None]) -> None:
    """Whatever its neighbours hold."""
    assert found(*values) == [place for each in values for place in found(each)]
