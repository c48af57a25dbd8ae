"""What accumulates in a window, and how two accumulations of the same kind become one.

An aggregate is a commutative monoid: `merge` is associative and commutative and `zero` is its
identity, so any split of the lines into batches, segments and partitions gives the same value.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from kpi_app.core.groups import INT64_MAX, Groups

#: What an aggregate holds: a whole number, None (nothing seen), or counts by whole number.
Value = Any


class Aggregate(ABC):
    """One kind of accumulation; what the methods of every kind mean is said here."""

    @abstractmethod
    def zero(self) -> Value:
        """The value of no lines."""

    @abstractmethod
    def merge(self, left: Value, right: Value) -> Value:
        """The value of two sets of lines together; may change and return `left`."""

    def span(self, value: Value) -> Value:
        """A window's value as a part of a larger window's."""
        return value

    def settle(self, values: Sequence[Value]) -> None:
        """Do for many values at once what merging has put off, in place; none of them changes its meaning."""
        return

    def dump(self, value: Value) -> Value:
        """The value as JSON can hold it; a column of numbers may be a numpy array."""
        return value

    def load(self, value: Value) -> Value:
        """What `dump` was given."""
        return value


class Plain(Aggregate):
    """An aggregate that is one expression over the lines of a group."""

    @abstractmethod
    def over(self) -> pl.Expr:
        """The expression, inside `group_by().agg()`."""

    def lift(self, cell: Any) -> Value:
        """What that gave, as a value."""
        return cell


class Split(Aggregate):
    """An aggregate that groups the lines of a part of a window once more."""

    @abstractmethod
    def split(self, counted: pl.DataFrame, parts: Groups) -> Iterator[tuple[int, Value]]:
        """The values of all parts that have any, each with its place among the parts that the lines are grouped by."""


class _Total(Plain):
    """A whole number that adds up; 0 for no lines."""

    def zero(self) -> Value:
        return 0

    def merge(self, left: Value, right: Value) -> Value:
        # stays at the largest there is, which of numbers that are never negative is still associative
        return min(left + right, INT64_MAX)


@dataclass(frozen=True)
class Count(_Total):
    """How many lines there are, or how many for which `where` (Boolean) is true."""

    where: pl.Expr | None = None

    def over(self) -> pl.Expr:
        return pl.len() if self.where is None else self.where.sum()


@dataclass(frozen=True)
class Sum(_Total):
    """The sum of a whole-number expression (Int64, never negative, null counts as 0)."""

    of: pl.Expr

    def over(self) -> pl.Expr:
        return self.of.cast(pl.Int128).sum()  # an Int64 could wrap around within one batch


@dataclass(frozen=True)
class Min(Plain):
    """The least value of a whole-number expression; None over no lines."""

    of: pl.Expr

    def over(self) -> pl.Expr:
        return self.of.min()

    def zero(self) -> Value:
        return None

    def merge(self, left: Value, right: Value) -> Value:
        return right if left is None else left if right is None else min(left, right)


@dataclass(frozen=True)
class Max(Plain):
    """The greatest value of a whole-number expression; None over no lines."""

    of: pl.Expr

    def over(self) -> pl.Expr:
        return self.of.max()

    def zero(self) -> Value:
        return None

    def merge(self, left: Value, right: Value) -> Value:
        return right if left is None else left if right is None else max(left, right)


@dataclass(frozen=True)
class CountBy(Split):
    """How many lines there are for each value of a whole-number expression; null counts nowhere."""

    of: pl.Expr

    def split(self, counted: pl.DataFrame, parts: Groups) -> Iterator[tuple[int, Value]]:
        """The counts of each part, by value."""
        of = counted.select(of=self.of)["of"]
        values = Groups.by(of.drop_nulls().to_numpy())
        pairs, part, value = parts.of(of.is_not_null().to_numpy()).paired(values.place, len(values.found))
        count = pairs.count()
        ends = np.searchsorted(part, np.arange(len(parts.found)), side="right")
        for number, (start, end) in enumerate(pairwise([0, *ends.tolist()])):
            if start < end:
                keys = values.found[value[start:end]].tolist()
                yield number, dict(zip(keys, count[start:end].tolist(), strict=True))

    def zero(self) -> Value:
        return {}

    def merge(self, left: Value, right: Value) -> Value:
        if not left:
            return dict(right)  # most are: a part's first lines
        for key, count in right.items():
            left[key] = left.get(key, 0) + count
        return left

    def dump(self, value: Value) -> Value:
        return sorted(value.items())

    def load(self, value: Value) -> Value:
        return dict(value)


@dataclass(frozen=True)
class Peak(CountBy):
    """The most lines for any one value of an expression, such as a second of the window.

    Counts by value within a window, whose partitions may share a value; a whole number over several windows, which
    never do.
    """

    def merge(self, left: Value, right: Value) -> Value:
        if isinstance(left, dict) and isinstance(right, dict):
            return super().merge(left, right)
        return max(self.span(left), self.span(right))

    def span(self, value: Value) -> Value:
        return max(value.values(), default=0) if isinstance(value, dict) else value

    def dump(self, value: Value) -> Value:
        return super().dump(value) if isinstance(value, dict) else value

    def load(self, value: Value) -> Value:
        return super().load(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Measure:
    """One accumulated quantity of a feed: its name in the segments and how it accumulates."""

    name: str
    aggregate: Aggregate
