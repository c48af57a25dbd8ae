r"""Envelope: Kafka values become lines, or the reason why not.

A value is either the JSON object that Fluent Bit writes around a line, or the bare line itself, which may be JSON, too:

    {"@timestamp":"2026-11-22T11:04:14.479655Z","path":"/var/log/x.log","offset":264,"log":"<line>"}
    <line>
    {"time_iso8601":"2026-11-22T11:04:14+00:00","status":"200",…}

Each value is judged alone. `read` says what it means. Where a feed has a regex for its lines, those in an envelope of
the shapes that shippers nearly always write are taken out of it and told apart in one look, as columns and outside the
GIL. All others are read one by one, those among them that hold a backslash (nginx's `\x22`): some 6 us a line more.
Polars' own JSON readers can't do it: they take the first of two equal keys, turn a number into text and `\ud800` into a
NUL.

An envelope may say where its line is from, too (see `feeds/places.py`).
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial

import orjson
import polars as pl

from kpi_app.core.seen import Places
from kpi_app.feeds.access_json import is_line
from kpi_app.feeds.base import NO_LOOK
from kpi_app.feeds.distinct import for_each
from kpi_app.feeds.places import GROUPS, Files, Place, of_object

#: The longest value that is read; Fluent Bit's tail is told to cut lines at the same size.
MAX_LINE_BYTES = 256 * 1024

#: A line or None, and why there is none.
Read = tuple[str | None, str | None]

# A flat object with the keys of `kpi ship` or of Fluent Bit, in this order. It is narrower than JSON on purpose: what
# it lets through can mean one thing only. Each key is told by its first letter, as a one-pass regex has it (see
# `access_formats`). What comes before the offset is the same in many records, and looked at once.
_ASCII = r'"[ !#-\[\]-~]*"'
_WHOLE = "(?:0|[1-9][0-9]{0,17})"
_HEAD = (
    rf'^\{{"(?:@timestamp":(?:{_ASCII}|{_WHOLE}(?:\.[0-9]{{1,17}})?),")?'
    rf'(?:(?P<where>host":{_ASCII},"path":{_ASCII},"file":{_ASCII})|path":{_ASCII}),(?P<usual>)$'
)
_OFFSET = '"offset":'
_BEFORE = rf'^{_OFFSET}(?P<start>{_WHOLE}),"(?:end":(?P<end>{_WHOLE}),")?log":"'
_BEHIND = r'(?P<looked>)"\}$'

_text = pl.col("text")
_fits = pl.when(_text.str.len_bytes() <= MAX_LINE_BYTES).then("text")
_bare = pl.when(~_text.str.starts_with("{")).then("text")
# The place is in bytes, and the slices go by characters: where these differ the head is not ASCII, and no usual one.
_cut = _text.str.find(_OFFSET, literal=True)


def decode(values: Sequence[bytes | None], look: str = NO_LOOK) -> pl.DataFrame:
    """Take the line out of each Kafka value.

    Returns a frame of the same length and order with `line` (String, null where rejected) and `reason`
    (String, null where there is a line): `format` for a null value, `oversize` over `MAX_LINE_BYTES`,
    `encoding` where it isn't UTF-8, `json` where it starts with `{` but is no object with a text `log`, nor a line
    itself (see `access_json`). A line may be empty. Then follow the groups of `look` (see `Feed.look`): what it told
    apart is in these, and its line is null. Raises nothing, whatever the values hold.
    """
    return decode_placed(values, look)[0]


def decode_placed(values: Sequence[bytes | None], look: str = NO_LOOK) -> tuple[pl.DataFrame, Places | None]:
    """Take the line out of each value, as `decode` does, and where it is from; None where none of them says so."""
    text, files = _as_text(values).to_frame().select(_fits), Files()
    told = _told(text, look, files)
    looked = told.drop_in_place("looked").is_not_null()
    lines = text.select_seq(line=_bare, reason=pl.lit(None, dtype=pl.String))
    careful = (lines["line"].is_null() & ~looked).arg_true()
    one_by_one = {row: _read(values[row]) for row in careful}
    found = files.gather(told, {row: place for row, (_, place) in one_by_one.items() if place})
    lines = _patch(lines, {row: said for row, (said, _) in one_by_one.items()})
    return lines.hstack(told.drop(GROUPS)), found


def _told(text: pl.DataFrame, look: str, files: Files) -> pl.DataFrame:
    """The groups of a look, those of places, and `looked` (null where the look found nothing)."""
    cut = text.select_seq(head=_text.str.head(_cut), tail=_text.str.slice(_cut))
    told = cut.select(pl.col("tail").str.extract_groups(_around(look))).unnest("tail")
    (head,) = for_each([(cut["head"], partial(_heads, files))])
    told = told.with_columns(head["file"])
    return told if head["usual"].all(ignore_nulls=False) else told.select_seq(pl.when(head["usual"]).then(pl.all()))


@cache
def _around(look: str) -> str:
    return f"{_BEFORE}{look}{_BEHIND}"


def _heads(files: Files, heads: pl.Series) -> pl.DataFrame:
    """Of what is before the offsets in records: whether it is usual, and the number of the file that it names."""

    def numbers(wheres: pl.Series) -> pl.DataFrame:
        found = [files.number(orjson.loads(f'{{"{where}}}')) for where in wheres]
        return pl.DataFrame({"file": found}, schema={"file": pl.Int64})

    told = heads.str.extract_groups(_HEAD).struct.unnest()
    (file,) = for_each([(told["where"], numbers)])
    return file.with_columns(usual=told["usual"].is_not_null())


def _as_text(values: Sequence[bytes | None]) -> pl.Series:
    """Give the values as text; null where there is none or it isn't UTF-8."""
    try:
        return pl.Series("text", values, dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.ComputeError:  # one value that isn't UTF-8 fails them all: look at each
        return pl.Series("text", [None if value is None else _utf8(value) for value in values], dtype=pl.String)


def _utf8(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def read(value: bytes | None) -> Read:
    """Take the line out of one value: what `decode` does, by its meaning, not by columns."""
    return _read(value)[0]


def _read(value: bytes | None) -> tuple[Read, Place | None]:
    """The line of one value, and where it is from."""
    if value is None:
        return (None, "format"), None
    if len(value) > MAX_LINE_BYTES:
        return (None, "oversize"), None
    text = _utf8(value)
    if text is None:
        return (None, "encoding"), None
    return _unwrap(text) if text.startswith("{") else ((text, None), None)


def _unwrap(text: str) -> tuple[Read, Place | None]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:  # also for objects nested over 1,024 deep
        return (None, "json"), None
    if "log" not in found and is_line(found):
        return (text, None), None  # who wrote the line wrote all of it: it does not say where it is from
    line = found.get("log")
    return ((line, None), of_object(found)) if isinstance(line, str) else ((None, "json"), None)


def _patch(seen: pl.DataFrame, one_by_one: Mapping[int, Read]) -> pl.DataFrame:
    """Put what was read one by one in its rows."""
    if not one_by_one:
        return seen
    rows, columns = list(one_by_one), zip(*one_by_one.values(), strict=True)
    patches = [pl.Series(column, dtype=pl.String) for column in columns]
    return pl.DataFrame([old.scatter(rows, new) for old, new in zip(seen, patches, strict=True)])
