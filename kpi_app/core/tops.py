"""Top lists: the heaviest values of each dimension, with the most that each count may lack.

Space-Saving (Metwally et al., 2005) in batches: a list keeps at most `CANDIDATES` values in `ROOM` bytes. The values
that are dropped raise the list's *floor*, the most lines that any value outside of it may have had. A value that
comes (back) afterwards may lack that much: its error. So a list is exact until it overflows, and a count is never too
high. With n lines and k candidates the floor is at most n / k, and so it stays when lists are merged.

A value's error is kept as *credit*, the floor less the error: then counts, credit and floors all just add up when
lists are merged, which is one `group_by` over all lists at once. The floor is a row of its own, whose value is null.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from typing import NamedTuple

import numpy as np
import polars as pl

from kpi_app.core.aggregates import Split, Value
from kpi_app.core.categorical import categorical, numbers_and_texts
from kpi_app.core.groups import INT64_MAX, Groups, Numbers

#: The most values that a list keeps, and the most bytes that they may have together.
CANDIDATES = 1_000
ROOM = 32 * 1024

#: Rows that wait to be merged into lists before these are settled on their own: bounds the memory between checkpoints.
_PUT_OFF = 50_000

#: The value of the row that stands for all others.
OTHER = "(other)"

#: A list and a dimension of it in one number: `list * _DIMENSIONS + dimension` is quicker to group by than both.
_DIMENSIONS = 256

_value, _weight = pl.col("value"), pl.col("requests") - pl.col("credit")


class Found(NamedTuple):
    """What a batch added to one part: the rows of `frame` whose `of` is this."""

    frame: pl.DataFrame
    of: int
    rows: int


class Settled(NamedTuple):
    """Lists in their bounds, as they are stored: columns, and how many rows of them each dimension has."""

    dimensions: list[tuple[int, int]]
    values: list[str | None]
    #: Whole numbers by name.
    columns: dict[str, np.ndarray]

    @property
    def rows(self) -> int:
        """How many rows there are, those of floors included."""
        return len(self.values)


@dataclass
class Lists:
    """The top lists of a set of lines: pieces that mean their sum; a single settled one after `Tops.settle`."""

    pieces: list[Found | Settled] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows there are, put off ones included."""
        return sum(piece.rows for piece in self.pieces)

    @property
    def settled(self) -> Settled | None:
        """The only piece, where that is all."""
        only = self.pieces[0] if len(self.pieces) == 1 else None
        return only if isinstance(only, Settled) else None


@dataclass(frozen=True)
class Tops(Split):
    """Top lists of several dimensions: of each one the lines by value, and whole-number sums over them.

    The column of a dimension (String or Categorical) is null where a line has no such thing at all: it is in no list.
    What is summed is Int64, never negative; null counts as 0.
    """

    dimensions: Mapping[str, str]
    sums: Mapping[str, pl.Expr]

    def split(self, counted: pl.DataFrame, parts: Groups) -> Iterator[tuple[int, Value]]:
        """The lists of each part, exact: what a batch may hold is bounded already."""
        frame = self._by_value(counted, parts)
        for number, rows in enumerate(np.bincount(frame["of"].to_numpy(), minlength=len(parts.found)).tolist()):
            if rows:
                yield number, Lists([Found(frame, number, rows)])

    def _by_value(self, counted: pl.DataFrame, parts: Groups) -> pl.DataFrame:
        """The values of all dimensions below each other, each once a part."""
        codes, texts = numbers_and_texts([categorical(counted[column]) for column in self.dimensions.values()])
        sums = [values.fill_null(0).to_numpy() for values in counted.select_seq(**self.sums)]
        found = [_values(code, len(text), parts, sums) for code, text in zip(codes, texts, strict=True)]
        of, _, requests, *added = (np.concatenate(column) for column in zip(*found, strict=True))
        dimension = np.repeat(np.arange(len(found), dtype=np.uint32), [len(columns[0]) for columns in found])
        first = np.cumsum([0, *map(len, texts[:-1])])  # of each dimension's texts, where all are below each other
        values = [columns[1] + start for columns, start in zip(found, first, strict=True)]
        return pl.DataFrame(
            {
                "of": of.astype(np.uint32),
                "dimension": dimension,
                "value": pl.concat(texts).gather(np.concatenate(values)),
                "requests": requests,
                "credit": np.zeros(len(of), dtype=np.int64),
                **dict(zip(self.sums, added, strict=True)),
            }
        )

    def zero(self) -> Value:
        return Lists()

    def merge(self, left: Value, right: Value) -> Value:
        left.pieces.extend(right.pieces)
        if len(left.pieces) > 1 and left.rows > _PUT_OFF:
            self.settle([left])
        return left

    def settle(self, values: Sequence[Value]) -> None:
        """Merge what was put off and bring every list into its bounds, for all values in one go."""
        todo = [lists for lists in values if lists.pieces and not lists.settled]
        if not todo:
            return
        rows = self._frame(todo)
        keyed = _bounded(rows.group_by("key", "value").agg(self._added(rows))).sort("key", "value")
        lengths = [dict[int, int]() for _ in todo]
        for key, length in keyed.group_by("key", maintain_order=True).len().iter_rows():
            lengths[key // _DIMENSIONS][key % _DIMENSIONS] = length
        values = keyed["value"].to_list()
        columns = {name: keyed[name].to_numpy() for name in self._whole}
        start = 0
        for lists, dimensions in zip(todo, lengths, strict=True):
            end = start + sum(dimensions.values())
            cut = {name: column[start:end].copy() for name, column in columns.items()}  # not all, for as long as one
            lists.pieces = [Settled(list(dimensions.items()), values[start:end], cut)]
            start = end

    def _frame(self, many: Sequence[Lists]) -> pl.DataFrame:
        """The rows of all pieces: `key`, `value`, `requests`, `credit` and the sums."""
        found: dict[int, tuple[pl.DataFrame, list[tuple[int, int]]]] = {}
        stored: list[tuple[int, Settled]] = []
        for number, lists in enumerate(many):
            for piece in lists.pieces:
                if isinstance(piece, Settled):
                    stored.append((number, piece))
                else:
                    found.setdefault(id(piece.frame), (piece.frame, []))[1].append((piece.of, number))
        frames = [self._of_found(frame, lists) for frame, lists in found.values()]
        return pl.concat([self._of_stored(stored), *frames])

    def _of_found(self, frame: pl.DataFrame, lists: Sequence[tuple[int, int]]) -> pl.DataFrame:
        of = frame["of"].to_numpy()
        number = np.full(int(of.max()) + 1, -1, dtype=np.int64)
        number[[of for of, _ in lists]] = [number for _, number in lists]
        key = pl.Series("key", number[of] * _DIMENSIONS + frame["dimension"].to_numpy())
        return frame.select(key, "value", *self._whole).filter(pl.col("key") >= 0)

    def _of_stored(self, stored: Sequence[tuple[int, Settled]]) -> pl.DataFrame:
        runs = [(n * _DIMENSIONS + dimension, length) for n, piece in stored for dimension, length in piece.dimensions]
        keys, lengths = zip(*runs, strict=True) if runs else ((), ())
        key = np.repeat(np.array(keys, dtype=np.int64), np.array(lengths, dtype=np.int64))
        values = pl.Series(list(chain.from_iterable(piece.values for _, piece in stored)), dtype=pl.String)
        nothing = np.array([], dtype=np.int64)
        columns = {
            name: np.concatenate([nothing, *(piece.columns[name] for _, piece in stored)]) for name in self._whole
        }
        return pl.DataFrame({"key": key, "value": values, **columns})

    def _added(self, rows: pl.DataFrame) -> list[pl.Expr]:
        return [pl.col("requests").sum(), pl.col("credit").sum(), *self._summed(rows)]

    def _summed(self, rows: pl.DataFrame) -> list[pl.Expr]:
        """The sums, which stop at the largest number there is: sizes are a stranger's to write."""
        return [pl.col(name).sum() if _fits(rows[name]) else _stopping_sum(name) for name in self.sums]

    @property
    def _whole(self) -> list[str]:
        return ["requests", "credit", *self.sums]

    def dump(self, value: Value) -> Value:
        """The settled columns; the dimensions by name."""
        self.settle([value])
        settled = value.settled
        if settled is None:
            return {}
        names = list(self.dimensions)
        dimensions = [[names[number], length] for number, length in settled.dimensions]
        return {"dimensions": dimensions, "value": settled.values, **settled.columns}

    def load(self, value: Value) -> Value:
        """What `dump` was given; dimensions that are no more are left out."""
        if not value:
            return Lists()
        numbers = {name: number for number, name in enumerate(self.dimensions)}
        values, columns = value["value"], {name: np.array(value[name], dtype=np.int64) for name in self._whole}
        if not all(name in numbers for name, _ in value["dimensions"]):
            kept = [name in numbers for name, length in value["dimensions"] for _ in range(length)]
            values, columns = [*compress(values, kept)], {name: column[kept] for name, column in columns.items()}
        return Lists(
            [Settled([(numbers[n], length) for n, length in value["dimensions"] if n in numbers], values, columns)]
        )

    def listed(self, values: Sequence[Value], totals: pl.DataFrame, top: int) -> pl.DataFrame:
        """The rows that people read, of several windows in one go.

        `totals`: `requests` and the sums over all lines of each window, in the order of `values`. Returns `list` (the
        window's index), `dimension` (its name), `value`, `requests`, `requests_error` (how many too few that may be)
        and the sums; for each dimension that has any value the `top` heaviest, and `(other)`: the window's total less
        those, in every column.
        """
        self.settle(values)
        added = ["requests", *self.sums]
        every = self._frame(values).sort("key", "requests", "value", descending=[False, True, False])
        floors = every.filter(_value.is_null()).select("key", floor="credit")
        heaviest = (
            every.filter(_value.is_not_null())
            .filter(pl.int_range(pl.len()).over("key") < top)
            .join(floors, on="key", how="left", maintain_order="left")
            .with_columns(requests_error=pl.col("floor").fill_null(0) - pl.col("credit"))
        )
        listed = heaviest.group_by("key", maintain_order=True).agg(pl.col(added).cast(pl.Int128).sum())
        whole = totals.select(added)[listed["key"] // _DIMENSIONS]
        rest = [  # nothing is below 0 but where a sum has stopped at the largest there is
            (whole[name].cast(pl.Int128) - listed[name]).clip(0, INT64_MAX).cast(pl.Int64).alias(name) for name in added
        ]
        others = listed.select(
            "key", pl.lit(OTHER).alias("value"), pl.lit(0, dtype=pl.Int64).alias("requests_error"), *rest
        )
        columns = ["key", "value", "requests", "requests_error", *self.sums]
        rows = pl.concat([heaviest.select(columns), others.select(columns)]).sort("key", maintain_order=True)
        names = pl.Series("dimension", list(self.dimensions), dtype=pl.String)
        number = pl.col("key") // _DIMENSIONS
        return rows.select(
            number.cast(pl.UInt32).alias("list"), names.gather(rows["key"] % _DIMENSIONS), pl.col(columns[1:])
        )


def _values(code: pl.Series, codes: int, parts: Groups, sums: Sequence[Numbers]) -> list[Numbers]:
    """Which parts have which values of a dimension, given by their codes, and on how many lines; and the sums."""
    if code.null_count():
        known = code.is_not_null().to_numpy()
        code, parts, sums = code.drop_nulls(), parts.of(known), [values[known] for values in sums]
    pairs, of, value = parts.paired(code.to_numpy(), codes)
    return [of, value, pairs.count(), *(pairs.sum(values) for values in sums)]


def _fits(values: pl.Series) -> bool:
    """Whether no sum over some of the column can be larger than the largest number there is."""
    largest = values.max()
    return not isinstance(largest, int) or largest * len(values) <= INT64_MAX


def _stopping_sum(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int128).sum().clip(upper_bound=INT64_MAX).cast(pl.Int64)


def _bounded(merged: pl.DataFrame) -> pl.DataFrame:
    """Drop the lightest values of lists that have too many, and raise their floors."""
    full = (
        merged.group_by("key")
        .agg(values=_value.count(), room=_value.str.len_bytes().sum())
        .filter((pl.col("values") > CANDIDATES) | (pl.col("room") > ROOM))
        .select("key")
    )
    if full.is_empty():
        return merged
    over = merged.join(full, on="key", how="semi").with_columns(is_floor=_value.is_null(), weight=_weight)
    over = over.sort("key", "is_floor", "weight", "value", descending=[False, True, True, False])
    kept = pl.col("is_floor") | (
        ((~pl.col("is_floor")).cum_sum().over("key") <= CANDIDATES)
        & (_value.str.len_bytes().fill_null(0).cum_sum().over("key") <= ROOM)
    )
    over = over.with_columns(kept=kept)
    raised = over.filter(~pl.col("kept")).group_by("key").agg(by=pl.col("weight").max().clip(lower_bound=0))
    rows = over.filter("kept").select(merged.columns)
    first = raised.join(rows.filter(_value.is_null()), on="key", how="anti").select("key")
    zeros = [pl.lit(0, dtype=pl.Int64).alias(name) for name in merged.columns[2:]]
    rows = pl.concat([rows, first.with_columns(pl.lit(None, dtype=pl.String).alias("value"), *zeros)])
    rows = rows.join(raised, on="key", how="left").with_columns(credit=pl.col("credit") + pl.col("by")).drop("by")
    return pl.concat([merged.join(full, on="key", how="anti"), rows])
