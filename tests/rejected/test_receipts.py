"""Receipts: a letter has one where it lies behind it, and tells of the same line, for the same books."""

from typing import Any

import pytest

from kpi_app.rejected.letters import Found, Place, Receipts
from kpi_app.stream.deadletters import Letter, Receipt

PLACE = Place(1, 5)
LETTER = Letter(3, 7, None, "format", "x", False, "b1")


def known(receipt: Receipt, place: Place) -> bool:
    """Whether the letter has a receipt, where this one is found there."""
    receipts = Receipts()
    receipts.note([Found(Place(1, 0), LETTER), Found(Place(1, 1), None), Found(place, receipt)])
    return receipts.hold(PLACE, LETTER)


def test_a_receipt_behind_its_letter_is_known() -> None:
    """In its partition."""
    assert known(Receipt.of(PLACE.offset, LETTER), Place(1, 6))


@pytest.mark.parametrize("place", [Place(1, 4), Place(1, 5), Place(0, 6)])
def test_a_receipt_anywhere_else_is_none(place: Place) -> None:
    """In front of a letter is what a replay wrote that began before the topic was made anew."""
    assert not known(Receipt.of(PLACE.offset, LETTER), place)


@pytest.mark.parametrize("changed", [{"letter_offset": 4}, {"partition": 2}, {"offset": 8}, {"birth": "b0"}])
def test_a_receipt_of_another_letter_is_none(changed: dict[str, Any]) -> None:
    """That was at the same offset before `kpi reset`, or is at another."""
    assert not known(Receipt.of(PLACE.offset, LETTER)._replace(**changed), Place(1, 6))
