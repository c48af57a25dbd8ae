r"""Places: where a line is from, as its envelope says.

    {"@timestamp":…,"host":"web-1","path":"/var/log/nginx/access.log","file":"5d1f…","offset":264,"end":391,"log":"…"}

`file` tells files of that host and path from each other, `offset` is the line's first byte in it, `end` the first one
behind the line and its line end. Only a record with all five takes part: a line's length can't be told from its
text, in which bytes that are no UTF-8 were replaced and a carriage return is gone.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

import orjson
import polars as pl

from kpi_app.core.seen import File, Places
from kpi_app.feeds.distinct import for_each
from kpi_app.feeds.values import clean

#: Offsets from here on are not believed.
_TOO_FAR = 10**18

_COLUMNS = ("row", "file", "start", "end")

# In an envelope of the plain shape (see `feeds/envelope.py`) keys are in this order, and no text holds a quote that is
# not escaped: what looks like a key is one.
_KEYS = {"host": '"host":', "offset": ',"offset":', "end": ',"end":', "log": ',"log":'}
_plain = pl.col("plain")
_FOUND = {name: _plain.str.find(key, literal=True).cast(pl.Int64) for name, key in _KEYS.items()}


def _between(first: pl.Expr, end: str) -> pl.Expr:
    return _plain.str.slice(first, pl.col(end) - first)


_PARTS = {
    "where": _between(pl.col("host"), "offset"),
    "start": _between(pl.col("offset") + len(_KEYS["offset"]), "end").cast(pl.Int64, strict=False),
    "end": _between(pl.col("end") + len(_KEYS["end"]), "log").cast(pl.Int64, strict=False),
}


class Place(NamedTuple):
    """Where one line is from."""

    file: File
    start: int
    end: int


def of_object(found: Mapping[str, object]) -> Place | None:
    """What an envelope says of its line's place; None where it lacks some of it, or it can't be."""
    file, start, end = _file(found), found.get("offset"), found.get("end")
    if file is None or not isinstance(start, int) or not isinstance(end, int):
        return None
    fits = not isinstance(start, bool) and not isinstance(end, bool) and 0 <= start < end < _TOO_FAR
    return Place(file, start, end) if fits else None


def _file(found: Mapping[str, object]) -> File | None:
    host, path, name = (found.get(key) for key in ("host", "path", "file"))
    if not (isinstance(host, str) and isinstance(path, str) and isinstance(name, str) and host and path and name):
        return None
    whole = orjson.dumps([host, path, name])
    return File(blake2b(whole, digest_size=16).digest(), clean(host), clean(path), clean(name))


def gather(plain: pl.Series, others: Mapping[int, Place]) -> Places | None:
    """The places of a batch: of envelopes of the plain shape (null elsewhere), and of `others` by their rows.

    None where there is none.
    """
    placed = plain.str.contains(_KEYS["end"], literal=True)
    files: dict[File, int] = {}
    parts = [_of_plain(plain.filter(placed), placed.arg_true(), files)] if placed.any() else []
    if others:
        parts.append(_of_others(others, files))
    if not files:
        return None
    known = pl.concat(parts)
    lines = pl.DataFrame({name: _spread(known, name, len(plain)) for name in ("file", "start", "end")})
    return Places(list(files), lines)


def _of_plain(plain: pl.Series, rows: pl.Series, files: dict[File, int]) -> pl.DataFrame:
    # in two steps: polars would look for the same key more than once
    parts = plain.to_frame().with_columns(**_FOUND).select(**_PARTS)

    def number(wheres: pl.Series) -> pl.DataFrame:
        return pl.DataFrame({"file": [_number(where, files) for where in wheres]}, schema={"file": pl.Int64})

    (file,) = for_each([(parts["where"], number)])
    found = parts.select(row=rows.cast(pl.Int64), file=file["file"], start="start", end="end")
    return found.filter(pl.col("file").is_not_null() & (pl.col("start") < pl.col("end")))


def _spread(known: pl.DataFrame, name: str, length: int) -> pl.Series:
    """A column at the rows that it is of, null elsewhere."""
    if len(known) == length and known["row"].is_sorted():
        return known[name]
    return pl.Series([None], dtype=pl.Int64).new_from_index(0, length).scatter(known["row"], known[name])


def _number(where: str, files: dict[File, int]) -> int | None:
    """The number of a file, given by the part of an envelope that names it; None where that names none."""
    try:
        file = _file(orjson.loads(f"{{{where}}}"))
    except orjson.JSONDecodeError:
        return None
    return None if file is None else files.setdefault(file, len(files))


def _of_others(others: Mapping[int, Place], files: dict[File, int]) -> pl.DataFrame:
    found = [(row, files.setdefault(place.file, len(files)), place.start, place.end) for row, place in others.items()]
    return pl.DataFrame(found, dict.fromkeys(_COLUMNS, pl.Int64), orient="row")
