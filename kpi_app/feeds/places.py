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
from kpi_app.feeds.values import clean

#: Offsets from here on are not believed.
_TOO_FAR = 10**18

_COLUMNS = ("row", "file", "start", "end")

#: What a look at envelopes tells of places: the number of the file (Int64), and two whole numbers as text; null where
#: a record does not say it.
GROUPS = ("file", "start", "end")


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


class Files:
    """The files of a batch, numbered as they are met."""

    def __init__(self) -> None:
        self._numbers: dict[Names, int] = {}

    def number(self, found: Mapping[str, object]) -> int | None:
        """The number of the file that an envelope names; None where it lacks some of its names."""
        names = _names(found)
        return None if names is None else self._number(names)

    def gather(self, looked: pl.DataFrame, others: Mapping[int, Place]) -> Places | None:
        """The places of the batch: of envelopes that were looked at, by `GROUPS`, and of `others` by their rows.

        None where there is none.
        """
        found = [(row, self._number(place.file), place.start, place.end) for row, place in others.items()]
        known = _of_looked(looked)
        if found:
            known = pl.concat([known, pl.DataFrame(found, dict.fromkeys(_COLUMNS, pl.Int64), orient="row")])
        if known.is_empty():
            return None
        lines = pl.DataFrame({name: _spread(known, name, len(looked)) for name in ("file", "start", "end")})
        return Places([_file(*names) for names in self._numbers], lines)

    def _number(self, names: Names) -> int:
        return self._numbers.setdefault(names, len(self._numbers))


def _file(host: str, path: str, name: str) -> File:
    key = blake2b(orjson.dumps([host, path, name]), digest_size=16).digest()
    return File(key, clean(host), clean(path), clean(name))


def _of_looked(looked: pl.DataFrame) -> pl.DataFrame:
    found = looked.select_seq(
        row=pl.int_range(pl.len(), dtype=pl.Int64),
        file="file",
        start=pl.col("start").cast(pl.Int64),
        end=pl.col("end").cast(pl.Int64),
    )
    return found.filter(pl.col("file").is_not_null() & (pl.col("start") < pl.col("end")))


def _spread(known: pl.DataFrame, name: str, length: int) -> pl.Series:
    """A column at the rows that it is of, null elsewhere."""
    if len(known) == length and known["row"].is_sorted():
        return known[name]
    return pl.Series([None], dtype=pl.Int64).new_from_index(0, length).scatter(known["row"], known[name])
