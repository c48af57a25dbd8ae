"""Looks: lines that are told apart while they stand in their envelope become what they would have become outside."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.access_formats import COMBINED, COMBINED_XFF, COMMON
from kpi_app.feeds.base import NO_LOOK, Reading
from kpi_app.feeds.envelope import MAX_LINE_BYTES, decode
from kpi_app.sources.records import Origin, encode
from kpi_app.sources.tail import Block
from tests.feeds.nasty import LINES, VALUES

AUTO = Reading()
HEAD = '192.0.2.1 - frank [23/May/2023:14:21:08 +0000] "GET /a?b=c HTTP/1.1" 200 17'
FULL = f'{HEAD} "https://example.org/é" "Mozilla/5.0 (X11; Linux x86_64)"'

#: What servers nearly always write, by format.
USUAL = {
    HEAD: COMMON,
    FULL: COMBINED,
    f'{FULL} "-"': COMBINED_XFF,
    f'{FULL} "198.51.100.9, 10.2.2.2"': COMBINED_XFF,
    f"{HEAD} rt=0.123": COMMON,
    f'{FULL} rt=0.123 uct="-" host="example.org"': COMBINED,
    f'{FULL} "-" host=example.org rt=0.001': COMBINED_XFF,
}

#: What is looked at: of `kpi ship`, and of Fluent Bit.
ENVELOPES: tuple[dict[str, Any], ...] = (
    {"@timestamp": "2026-11-22T11:04:14Z", "host": "a", "path": "/b", "file": "c", "offset": 7, "end": 8},
    {"@timestamp": "2026-11-22T11:04:14.479655Z", "path": "/var/log/nginx/access.log", "offset": 264},
    {"@timestamp": 1795343754.046326, "path": "/var/log/nginx/access.log", "offset": 0},
    {"path": "/var/log/nginx/access.log", "offset": 0},
)

#: What is read with care.
OTHERS: tuple[dict[str, Any], ...] = (
    {"@timestamp": 1795343754.046326, "path": "/var/log/nginx/access.log"},
    {"path": "/var/log/é.log", "offset": 0},
    {"path": "/a b\\c", "offset": 0},
    {"host": "a", "path": "/b", "offset": 0},
    {"offset": 0, "path": "/b"},
    {"path": "/b", "offset": -1},
    {"path": "/b", "offset": 10**18},
    {"path": "/b", "offset": 1.5},
    {"path": "/b", "x": {}, "offset": 0},
    {},
)


def wrapped(line: str, envelope: dict[str, Any]) -> bytes:
    return json.dumps({**envelope, "log": line}, ensure_ascii=False, separators=(",", ":")).encode()


def same(values: list[bytes | None], reading: Reading = AUTO) -> None:
    with_look, with_care = decode(values, ACCESS.look), decode(values)
    assert ACCESS.parse(with_look, reading).to_dicts() == ACCESS.parse(with_care, reading).to_dicts()


@pytest.mark.parametrize("line", USUAL)
@pytest.mark.parametrize("envelope", ENVELOPES, ids=",".join)
def test_what_shippers_and_servers_usually_write_is_looked_at(line: str, envelope: dict[str, Any]) -> None:
    """No line is taken out of its envelope; what becomes of it is the same."""
    values: list[bytes | None] = [wrapped(line, envelope)]
    assert decode(values, ACCESS.look)["line"].to_list() == [None]
    assert decode(values)["line"].to_list() == [line]
    [row] = ACCESS.parse(decode(values, ACCESS.look), AUTO).to_dicts()
    assert (row["format"], row["reason"], row["by_path"], row["status"]) == (USUAL[line], None, "/a", 200)
    same(values)


def test_what_kpi_ship_writes_is_looked_at() -> None:
    """Its envelopes have the keys in the order that a look knows."""
    lines = [line.encode() for line in USUAL]
    block = Block(0, lines, sum(len(line) + 1 for line in lines), 0)
    values = encode(block, "/var/log/nginx/access.log", datetime(2026, 11, 22, tzinfo=UTC), Origin("web-1", "5d1f"))
    assert decode(list(values), ACCESS.look)["line"].null_count() == len(lines)


@pytest.mark.parametrize(
    "line",
    [
        f"{FULL}\\",
        FULL.replace("GET", "\\x16"),
        FULL.replace("frank", "fränk"),
        FULL.replace("/a", "/\t"),
        FULL.replace("/a", '/"'),
        FULL.replace(" 17", " 1.7"),
        f"{FULL}\n",
        "",
    ],
)
def test_other_lines_are_taken_out(line: str) -> None:
    """What is escaped in JSON is never a field's text."""
    for envelope in ENVELOPES + OTHERS:
        values: list[bytes | None] = [wrapped(line, envelope)]
        assert decode(values, ACCESS.look)["line"].to_list() == [line]
        same(values)


@pytest.mark.parametrize(
    "value",
    [
        *(wrapped("%s", envelope) for envelope in OTHERS),
        b'{"path":"/a","path":"/b","offset":0,"log":"%s"}',
        b'{"path":"/a","offset":0,"offset":0,"log":"%s"}',
        b'{"path":"/a","offset":0,"log":"%s","log":"%s"}',
        b'{"path":"/a","offset":0,"log":"%s"} ',
        b'{"path":"/a","offset":0,"log":"%s"}\n',
        b'{"path":"/a","offset":01,"log":"%s"}',
        b'{"path":"/a", "offset":0,"log":"%s"}',
        b'{"path":5,"offset":0,"log":"%s"}',
        b'\xef\xbb\xbf{"path":"/a","offset":0,"log":"%s"}',
    ],
    ids=repr,
)
def test_other_envelopes_are_read_with_care(value: bytes) -> None:
    """A shape that could mean anything but what it seems to is not looked at; beside one that is, it stays the same."""
    given: list[bytes | None] = [value.replace(b"%s", json.dumps(HEAD)[1:-1].encode()), wrapped(HEAD, ENVELOPES[0])]
    assert decode(given, ACCESS.look)["time"].is_null().to_list() == [True, False]
    same(given)


def test_the_longest_value_is_looked_at() -> None:
    """One byte more is too long, with a look as without one."""
    value = wrapped(FULL, ENVELOPES[0])
    longest = value.replace(b"/a", b"/" + b"a" * (MAX_LINE_BYTES - len(value) + 1))
    assert len(longest) == MAX_LINE_BYTES
    with_look = decode([longest, longest.replace(b"/a", b"/aa")], ACCESS.look)
    assert with_look["reason"].to_list() == [None, "oversize"]
    assert with_look["line"].to_list() == [None, None]
    assert with_look["time"].null_count() == 1


def test_a_feed_without_a_look_reads_all_with_care() -> None:
    """`NO_LOOK` finds nothing, not even in an empty line."""
    values = [wrapped(line, envelope) for line in ("", HEAD) for envelope in ENVELOPES + OTHERS]
    assert decode(values, NO_LOOK).rows() == [(line, None) for line in ("", HEAD) for _ in ENVELOPES + OTHERS]


@settings(max_examples=300)
@given(st.lists(VALUES | st.builds(wrapped, LINES, st.sampled_from(ENVELOPES + OTHERS)), max_size=20), st.booleans())
@example([], False)
def test_a_look_changes_nothing(values: list[bytes | None], anonymise: bool) -> None:
    """Whatever the values hold, in any company."""
    same(values, Reading(anonymise_ip=anonymise))
