"""Segments: their keys, their bytes, and adding to them."""

import cramjam
import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.core import segment as segments
from kpi_app.core.aggregates import Count, CountBy, Max, Measure, Min, Sum
from kpi_app.core.segment import LATE_BLOCK, Segment, SegmentKey, late_part

X = pl.col("x")
MEASURES = (
    Measure("requests", Count()),
    Measure("bytes", Sum(X)),
    Measure("first", Min(X)),
    Measure("last", Max(X)),
    Measure("per_second", CountBy(X)),
)
COUNTS = st.integers(0, 2**63 - 1)
VALUES = st.fixed_dictionaries(
    {
        "requests": COUNTS,
        "bytes": COUNTS,
        "first": st.none() | COUNTS,
        "last": st.none() | COUNTS,
        "per_second": st.dictionaries(st.integers(0, 59), COUNTS),
    }
)


@given(st.integers(0, 253_402_300_740), st.integers(0, 2**49))
def test_key_survives_its_bytes(start_s: int, part: int) -> None:
    """Any window and part."""
    key = SegmentKey(start_s, part)
    assert SegmentKey.decode(key.encode()) == key


@pytest.mark.parametrize("key", [b"", b"meta", b"60", b"60/0/0", b"a/b"])
def test_other_bytes_are_no_key(key: bytes) -> None:
    """The books of the partition lie beside the segments and are not one of them."""
    with pytest.raises(ValueError, match=r"values to unpack|invalid literal"):
        SegmentKey.decode(key)


def test_late_lines_share_a_part_by_block_of_offsets() -> None:
    """Part 0 is for lines that are on time; a column of offsets gives the same as one by one."""
    offsets = [0, LATE_BLOCK - 1, LATE_BLOCK, 10 * LATE_BLOCK]
    assert [late_part(offset) for offset in offsets] == [1, 1, 2, 11]
    assert pl.DataFrame({"offset": offsets}).select(late_part(pl.col("offset"))).to_series().to_list() == [1, 1, 2, 11]


@given(VALUES, st.integers(-1, 2**62))
def test_segment_survives_its_bytes(values: dict[str, object], offset: int) -> None:
    """All values and the offset of the checkpoint; the same values give the same bytes."""
    segment = Segment(values, offset)
    data = segments.encode(segment, MEASURES)
    assert segments.decode(data, MEASURES) == segment
    assert segments.head(data) == (offset, segment.requests)
    turned = {name: _turned(value) for name, value in reversed(values.items())}
    assert segments.encode(Segment(turned, offset), MEASURES) == data


def _turned(value: object) -> object:
    return dict(reversed(value.items())) if isinstance(value, dict) else value


def test_measure_that_the_writer_did_not_know_is_zero() -> None:
    """An older version's segments stay readable, and a measure that is no more is left out."""
    old = segments.encode(Segment({"requests": 5, "bytes": 7}, 3), MEASURES[:2])
    read = segments.decode(old, (MEASURES[0], MEASURES[2], MEASURES[4]))
    assert read == Segment({"requests": 5, "first": None, "per_second": {}}, 3)


def test_the_format_before_is_read() -> None:
    """Its offset was in the body, beside the values."""
    body = orjson.dumps({"o": 7, "v": {"requests": 5, "bytes": 9}})
    old = b"\x02" + bytes(cramjam.zstd.compress(body))
    assert segments.head(old) == (7, 5)
    assert segments.decode(old, MEASURES[:2]) == Segment({"requests": 5, "bytes": 9}, 7)


@pytest.mark.parametrize("damage", [b"", b"\x03{}", b"\x01", b"\x01{}", b"\x00" * 20, b"\x04" * 20, b"\x03" * 20])
def test_bytes_that_are_no_segment_are_refused(damage: bytes) -> None:
    """A later version's among them: better no number than a wrong one."""
    with pytest.raises(ValueError, match="segment"):
        segments.decode(damage, MEASURES)


@given(st.lists(VALUES, max_size=5))
def test_absorbing_in_any_order_gives_the_same(many: list[dict[str, object]]) -> None:
    """And leaves what is absorbed as it was."""
    forth, back = segments.empty(MEASURES), segments.empty(MEASURES)
    before = repr(many)
    for values in many:
        segments.absorb(forth, values, MEASURES)
    for values in reversed(many):
        segments.absorb(back, values, MEASURES)
    assert forth == back
    assert repr(many) == before


def test_requests_of_a_segment_are_its_lines() -> None:
    """The sink checks its books against them."""
    assert Segment({"requests": 12}).requests == 12
    assert segments.empty(MEASURES).requests == 0
