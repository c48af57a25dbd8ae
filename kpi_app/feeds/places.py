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

#: What a look at envelopes tells of places: the members that name the file, as they stand there but for the first
#: quote, and two whole numbers; null in an envelope that is of another shape.
GROUPS = ("where", "start", "end")


#: Host, path and name of a file, none of them empty.
Names = tuple[str, str, str]


class Place(NamedTuple):
    """Where one line is from."""

    file: Names
    start: int
    end: int


def of_object(found: Mapping[str, object]) -> Place | None:
    """What an envelope says of its line's place; None where it lacks some of it, or it can't be."""
    file, start, end = _names(found), found.get("offset"), found.get("end")
    if file is None or not isinstance(start, int) or not isinstance(end, int):
        return None
    fits = not isinstance(start, bool) and not isinstance(end, bool) and 0 <= start < end < _TOO_FAR
    return Place(file, start, end) if fits else None


def _names(found: Mapping[str, object]) -> Names | None:
    host, path, name = (found.get(key) for key in ("host", "path", "file"))
    if not (isinstance(host, str) and isinstance(path, str) and isinstance(name, str) and host and path and name):
        return None
    return host, path, name


def gather(looked: pl.DataFrame, others: Mapping[int, Place]) -> Places | None:
    """The places of a batch: of the envelopes that a look told apart, by `GROUPS`, and of `others` by their rows.

    None where there is none.
    """
    files: dict[Names, int] = {}
    parts = [_of_looked(looked.select(GROUPS), files)]
    if others:
        parts.append(_of_others(others, files))
    if not files:
        return None
    known = pl.concat(parts)
    lines = pl.DataFrame({name: _spread(known, name, len(looked)) for name in ("file", "start", "end")})
    return Places([_file(*names) for names in files], lines)


def _file(host: str, path: str, name: str) -> File:
    key = blake2b(orjson.dumps([host, path, name]), digest_size=16).digest()
    return File(key, clean(host), clean(path), clean(name))


def _of_looked(parts: pl.DataFrame, files: dict[Names, int]) -> pl.DataFrame:
    def number(wheres: pl.Series) -> pl.DataFrame:
        return pl.DataFrame({"file": [_number(where, files) for where in wheres]}, schema={"file": pl.Int64})

    (file,) = for_each([(parts["where"], number)])
    found = parts.select(
        row=pl.int_range(pl.len(), dtype=pl.Int64),
        file=file["file"],
        start=pl.col("start").cast(pl.Int64),
        end=pl.col("end").cast(pl.Int64),
    )
    return found.filter(pl.col("file").is_not_null() & (pl.col("start") < pl.col("end")))


def _number(where: str, files: dict[Names, int]) -> int | None:
    """The number of a file, given by the members that name it, without their first quote; None where one is empty."""
    names = _names(orjson.loads(f'{{"{where}}}'))
    return None if names is None else files.setdefault(names, len(files))


def _of_others(others: Mapping[int, Place], files: dict[Names, int]) -> pl.DataFrame:
    found = [(row, files.setdefault(place.file, len(files)), place.start, place.end) for row, place in others.items()]
    return pl.DataFrame(found, dict.fromkeys(_COLUMNS, pl.Int64), orient="row")


def _spread(known: pl.DataFrame, name: str, length: int) -> pl.Series:
    """A column at the rows that it is of, null elsewhere."""
    if len(known) == length and known["row"].is_sorted():
        return known[name]
    return pl.Series([None], dtype=pl.Int64).new_from_index(0, length).scatter(known["row"], known[name])
