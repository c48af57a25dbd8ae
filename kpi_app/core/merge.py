"""Merge: segments of a window, over all source partitions, become one set of values; so do windows of a larger one."""

from collections.abc import Iterable, Sequence

from kpi_app.core import segment as segments
from kpi_app.core.aggregates import Measure, Value

Values = dict[str, Value]


def merge(encoded: Iterable[bytes], measures: Sequence[Measure]) -> Values:
    """The measures over all lines of the given segments of a window, in any order; not settled yet."""
    total = segments.empty(measures)
    for data in encoded:
        segments.absorb(total, segments.decode(data, measures).values, measures)
    return total.values


def span(encoded: Iterable[bytes], measures: Sequence[Measure]) -> Values:
    """The measures over all lines of the given windows, in any order; not settled yet."""
    total = segments.empty(measures)
    for data in encoded:
        segments.absorb(total, spanned(segments.decode(data, measures).values, measures), measures)
    return total.values


def spanned(values: Values, measures: Sequence[Measure]) -> Values:
    """A window's measures as a part of a larger window's."""
    return {measure.name: measure.aggregate.span(values[measure.name]) for measure in measures}


def settle(many: Sequence[Values], measures: Sequence[Measure]) -> None:
    """Do what merging has put off, for many windows at once, in place."""
    for measure in measures:
        measure.aggregate.settle([values[measure.name] for values in many])
