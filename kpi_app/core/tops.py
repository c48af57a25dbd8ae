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
from itertools import groupby

import polars as pl

from kpi_app.core.aggregates import INT64_MAX, Part, Split, Value

#: The most values that a list keeps, and the most bytes that they may have together.
CANDIDATES = 1_000
ROOM = 32 * 1024

#: Rows that wait to be merged into a list before it is settled on its own: bounds the memory between checkpoints.
_PUT_OFF = 50_000

#: The value of the row that stands for all others.
OTHER = "(other)"

_LIST = ("list", "dimension")
_value, _weight = pl.col("value"), pl.col("requests") - pl.col("credit")


@dataclass
class Lists:
    """The top lists of a set of lines: rows of `dimension` (UInt8), `value`, `requests`, `credit` and the sums.

    Several frames mean their sum; `Tops.settle` makes one of them, sorted, with every list in its bounds.
    """

    frames: list[pl.DataFrame] = field(default_factory=list)
    settled: bool = False

    @property
    def rows(self) -> int:
        """How many rows there are, put off ones included."""
        return sum(map(len, self.frames))


@dataclass(frozen=True)
class Tops(Split):
    """Top lists of several dimensions: of each one the lines by value, and whole-number sums over them.

    The column of a dimension (String) is null where a line has no such thing at all: it is in no list then.
    """

    dimensions: Mapping[str, str]
    sums: Mapping[str, pl.Expr]

    def split(self, counted: pl.DataFrame) -> Iterator[Part]:
        """The lists of each part, exact: what a batch may hold is bounded already."""
        lines = counted.select("window_us", "part", *self.dimensions.values(), **self.sums)
        lists = [
            self._list(lines, number, column)
            for number, column in enumerate(self.dimensions.values())
            if lines[column].null_count() < len(lines)
        ]
        if not lists:
            return
        frame = pl.concat(pl.collect_all(lists)).sort("window_us", "part", "dimension")
        rows = frame.drop("window_us", "part")
        start = 0
        for window_us, part, length in frame.group_by("window_us", "part", maintain_order=True).len().iter_rows():
            yield Part(window_us, part, Lists([rows[start : start + length]]))
            start += length

    def _list(self, lines: pl.DataFrame, number: int, column: str) -> pl.LazyFrame:
        sums = [pl.col(name).cast(pl.Int128).sum().clip(upper_bound=INT64_MAX).cast(pl.Int64) for name in self.sums]
        return (
            lines.lazy()
            .filter(pl.col(column).is_not_null())
            .group_by("window_us", "part", value=pl.col(column))
            .agg(pl.len().cast(pl.Int64).alias("requests"), pl.lit(0, dtype=pl.Int64).alias("credit"), *sums)
            .with_columns(dimension=pl.lit(number, dtype=pl.UInt8))
        )

    def zero(self) -> Value:
        return Lists()

    def merge(self, left: Value, right: Value) -> Value:
        left.frames.extend(right.frames)
        left.settled = False
        if len(left.frames) > 1 and left.rows > _PUT_OFF:
            self.settle([left])
        return left

    def settle(self, values: Sequence[Value]) -> None:
        """Merge what was put off and bring every list into its bounds, for all values in one go."""
        todo = [lists for lists in values if lists.rows and not lists.settled]
        if not todo:
            return
        of = pl.Series("list", [number for number, lists in enumerate(todo) for _ in range(lists.rows)], pl.UInt32)
        every = pl.concat([frame.select(self._columns) for lists in todo for frame in lists.frames])
        merged = _bounded(every.with_columns(of).group_by(*_LIST, "value").agg(self._added())).sort(*_LIST, "value")
        rows = merged.drop("list")
        start = 0
        for lists, length in zip(todo, merged.group_by("list", maintain_order=True).len()["len"], strict=True):
            lists.frames, lists.settled = [rows[start : start + length]], True
            start += length

    def _added(self) -> list[pl.Expr]:
        added = [pl.col("requests").sum(), pl.col("credit").sum()]
        return added + [
            pl.col(name).cast(pl.Int128).sum().clip(upper_bound=INT64_MAX).cast(pl.Int64) for name in self.sums
        ]

    @property
    def _columns(self) -> list[str]:
        return ["dimension", "value", "requests", "credit", *self.sums]

    def dump(self, value: Value) -> Value:
        """Columns, and how many rows of them each dimension has."""
        self.settle([value])
        if not value.frames:
            return {}
        (frame,) = value.frames
        columns = frame.select(self._columns).to_dict(as_series=False)
        names = list(self.dimensions)
        lengths = [[names[number], len(list(run))] for number, run in groupby(columns.pop("dimension"))]
        return {"dimensions": lengths, **columns}

    def load(self, value: Value) -> Value:
        """What `dump` was given; dimensions that are no more are left out."""
        if not value:
            return Lists()
        numbers = {name: number for number, name in enumerate(self.dimensions)}
        dimension = [numbers.get(name) for name, length in value["dimensions"] for _ in range(length)]
        whole = dict.fromkeys(("requests", "credit", *self.sums), pl.Int64)
        frame = pl.DataFrame(
            {"dimension": dimension, "value": value["value"], **{name: value[name] for name in whole}},
            schema={"dimension": pl.UInt8, "value": pl.String, **whole},
        )
        return Lists([frame.filter(pl.col("dimension").is_not_null())], settled=True)

    def listed(self, values: Sequence[Value], totals: pl.DataFrame, top: int) -> pl.DataFrame:
        """The rows that people read, of several windows in one go.

        `totals`: `requests` and the sums over all lines of each window, in the order of `values`. Returns `list` (the
        window's index), `dimension` (its name), `value`, `requests`, `requests_error` (how many too few that may be)
        and the sums; for each dimension that has any value the `top` heaviest, and `(other)`: the window's total less
        those, in every column.
        """
        self.settle(values)
        frames = [
            frame.select(pl.lit(number, dtype=pl.UInt32).alias("list"), *self._columns)
            for number, lists in enumerate(values)
            for frame in lists.frames
        ]
        added = ["requests", *self.sums]
        empty = pl.DataFrame(
            schema={"list": pl.UInt32, "dimension": pl.String, "value": pl.String}
            | dict.fromkeys(["requests", "requests_error", *self.sums], pl.Int64)
        )
        if not frames:
            return empty
        every = pl.concat(frames)
        floors = every.filter(_value.is_null()).select(*_LIST, floor="credit")
        heaviest = (
            every.filter(_value.is_not_null())
            .sort(*_LIST, "requests", "value", descending=[False, False, True, False])
            .filter(pl.int_range(pl.len()).over(*_LIST) < top)
            .join(floors, on=_LIST, how="left", maintain_order="left")
            .with_columns(requests_error=pl.col("floor").fill_null(0) - pl.col("credit"))
        )
        listed = heaviest.group_by(*_LIST, maintain_order=True).agg(pl.col(added).cast(pl.Int128).sum())
        whole = totals.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("list"), pl.col(added).name.suffix("_all"))
        others = listed.join(whole, on="list", how="left", maintain_order="left").select(
            *_LIST,
            pl.lit(OTHER).alias("value"),
            pl.lit(0, dtype=pl.Int64).alias("requests_error"),
            # nothing is below 0 but where a sum has stopped at the largest there is
            *((pl.col(f"{name}_all") - pl.col(name)).clip(lower_bound=0).cast(pl.Int64).alias(name) for name in added),
        )
        names = pl.Series(list(self.dimensions), dtype=pl.String)
        columns = list(empty.columns)
        rows: pl.DataFrame = pl.concat([heaviest.select(columns), others.select(columns)]).sort(
            "list", "dimension", maintain_order=True
        )
        return rows.with_columns(names.gather(rows["dimension"]).alias("dimension"))


def _bounded(merged: pl.DataFrame) -> pl.DataFrame:
    """Drop the lightest values of lists that have too many, and raise their floors."""
    full = (
        merged.group_by(*_LIST)
        .agg(values=_value.count(), room=_value.str.len_bytes().sum())
        .filter((pl.col("values") > CANDIDATES) | (pl.col("room") > ROOM))
        .select(_LIST)
    )
    if full.is_empty():
        return merged
    over = merged.join(full, on=_LIST, how="semi").with_columns(is_floor=_value.is_null(), weight=_weight)
    over = over.sort(*_LIST, "is_floor", "weight", "value", descending=[False, False, True, True, False])
    kept = pl.col("is_floor") | (
        ((~pl.col("is_floor")).cum_sum().over(*_LIST) <= CANDIDATES)
        & (_value.str.len_bytes().fill_null(0).cum_sum().over(*_LIST) <= ROOM)
    )
    over = over.with_columns(kept=kept)
    raised = over.filter(~pl.col("kept")).group_by(*_LIST).agg(by=pl.col("weight").max().clip(lower_bound=0))
    rows = over.filter("kept").select(merged.columns)
    first = raised.join(rows.filter(_value.is_null()), on=_LIST, how="anti").select(_LIST)
    others = [
        pl.lit(None if name == "value" else 0, dtype=kind).alias(name) for name, kind in list(merged.schema.items())[2:]
    ]
    rows = pl.concat([rows, first.with_columns(others).select(merged.columns)])
    rows = rows.join(raised, on=_LIST, how="left").with_columns(credit=pl.col("credit") + pl.col("by")).drop("by")
    return pl.concat([merged.join(full, on=_LIST, how="anti"), rows])
