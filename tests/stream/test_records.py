"""Records are taken apart into columns, and nothing of them is lost."""

from types import SimpleNamespace
from typing import Any

import pytest

from kpi_app.stream.bend import Record, Records

HEADERS = [("a", b"1"), ("b", None)]


def record(offset: int, value: bytes | None = b"x", headers: Any = ()) -> Record:
    return SimpleNamespace(offset=offset, timestamp=1_000 + offset, value=value, headers=headers)


GIVEN = [record(3), record(5, None, HEADERS), record(6, b""), record(9, b"long", HEADERS[:1])]
ALL = Records([3, 5, 6, 9], [1_003, 1_005, 1_006, 1_009], [b"x", None, b"", b"long"], {5: HEADERS, 9: HEADERS[:1]}, 5)


def test_columns_hold_what_records_hold() -> None:
    """Tombstones and headers, too; the size is that of the values."""
    assert Records.of(GIVEN) == ALL
    assert (len(ALL), ALL.offset, len(Records.of([]))) == (4, 9, 0)


@pytest.mark.parametrize("border", range(5))
def test_records_are_joined_in_their_order(border: int) -> None:
    """What is joined is what came in pieces; these stay as they are."""
    parts = [Records.of(GIVEN[:border]), Records.of(GIVEN[border:])]
    assert Records.joined(parts) == ALL
    assert parts == [Records.of(GIVEN[:border]), Records.of(GIVEN[border:])]
    assert Records.joined([ALL]) == ALL


@pytest.mark.parametrize("offset", range(11))
def test_records_since_an_offset(offset: int) -> None:
    """That one included, whether it is there or not."""
    assert ALL.since(offset) == Records.of([each for each in GIVEN if each.offset >= offset])
