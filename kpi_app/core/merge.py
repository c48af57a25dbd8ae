"""Merge: the segments of one window, over all source partitions, become one set of values."""

from collections.abc import Iterable, Mapping, Sequence

from kpi_app.core import segment as segments
from kpi_app.core.aggregates import Measure, Value


def merge(encoded: Iterable[bytes], measures: Sequence[Measure]) -> Mapping[str, Value]:
    """The measures over all lines of the given segments, in any order."""
    total = segments.empty(measures)
    for data in encoded:
        segments.absorb(total, segments.decode(data, measures).values, measures)
    return total.values
