"""What accumulates in a window, and how two accumulations of the same kind become one.

An aggregate is a commutative monoid: `merge` is associative and commutative and `zero` is its
identity, so any split of the lines into batches, segments and partitions gives the same value.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

#: What an aggregate holds: a whole number, None (nothing seen), or counts by whole number.
Value = Any

#: The largest number that the bigint columns hold, and that segments can.
INT64_MAX = 2**63 - 1


class Aggregate(Protocol):
    """One kind of accumulation."""

    @property
    def by(self) -> pl.Expr | None:
        """What splits a window's lines once more; None when the window is enough."""
        ...

    def over(self) -> pl.Expr:
        """The value over the lines of one group, as an expression inside `group_by().agg()`."""
        ...

    def zero(self) -> Value:
        """The value of no lines."""
        ...

    def merge(self, left: Value, right: Value) -> Value:
        """The value of two sets of lines together; may change and return `left`."""
        ...

    def dump(self, value: Value) -> Value:
        """The value as JSON can hold it."""
        ...

    def load(self, value: Value) -> Value:
        """What `dump` was given."""
        ...


class _Whole:
    """An aggregate whose value is a whole number, or None for no lines."""

    @property
    def by(self) -> None:
        return None

    def dump(self, value: Value) -> Value:
        return value

    def load(self, value: Value) -> Value:
        return value


class _Total(_Whole):
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
class Min(_Whole):
    """The least value of a whole-number expression; None over no lines."""

    of: pl.Expr

    def over(self) -> pl.Expr:
        return self.of.min()

    def zero(self) -> Value:
        return None

    def merge(self, left: Value, right: Value) -> Value:
        return right if left is None else left if right is None else min(left, right)


@dataclass(frozen=True)
class Max(_Whole):
    """The greatest value of a whole-number expression; None over no lines."""

    of: pl.Expr

    def over(self) -> pl.Expr:
        return self.of.max()

    def zero(self) -> Value:
        return None

    def merge(self, left: Value, right: Value) -> Value:
        return right if left is None else left if right is None else max(left, right)


@dataclass(frozen=True)
class CountBy:
    """How many lines there are for each value of a whole-number expression (such as the second)."""

    by: pl.Expr

    def over(self) -> pl.Expr:
        return pl.len()

    def zero(self) -> Value:
        return {}

    def merge(self, left: Value, right: Value) -> Value:
        for key, count in right.items():
            left[key] = left.get(key, 0) + count
        return left

    def dump(self, value: Value) -> Value:
        return sorted(value.items())

    def load(self, value: Value) -> Value:
        return dict(value)


@dataclass(frozen=True)
class Measure:
    """One accumulated quantity of a feed: its name in the segments and how it accumulates."""

    name: str
    aggregate: Aggregate
