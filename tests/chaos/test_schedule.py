"""Which fault comes when."""

from itertools import islice

import pytest

from tests.chaos.faults import KINDS
from tests.chaos.schedule import DECK, MIXED, TWO, TWO_A_DECK, schedule


def test_the_same_seed_gives_the_same_faults() -> None:
    """A run can be repeated by its seed."""
    assert list(islice(schedule(7), 60)) == list(islice(schedule(7), 60))
    assert list(islice(schedule(7), 60)) != list(islice(schedule(8), 60))


def test_every_kind_comes_before_any_comes_again_beyond_its_share() -> None:
    """A deck is dealt to its last card."""
    size = sum(DECK.values()) + TWO_A_DECK
    dealt = [planned.name for planned in islice(schedule(3), size)]
    assert {kind: dealt.count(kind) for kind in dealt} == DECK | {TWO: TWO_A_DECK}


def test_two_at_once_are_two_of_those_that_need_no_quiet() -> None:
    """Two different ones; none that starts or stops all workers, or takes a minute."""
    pairs = [planned.kinds for planned in islice(schedule(5), 200) if planned.name == TWO]
    assert pairs
    assert all(len(set(kinds)) == 2 and set(kinds) <= set(MIXED) for kinds in pairs)


def test_given_faults_come_in_their_order_and_no_others() -> None:
    """`only` is the whole schedule."""
    assert [planned.name for planned in schedule(1, ("disk full", TWO, "disk full"))] == ["disk full", TWO, "disk full"]


def test_an_unknown_fault_is_refused() -> None:
    """A misspelt one would be a run without it."""
    with pytest.raises(ValueError, match="no such fault: worker kiled"):
        next(schedule(1, ("worker kiled",)))


def test_every_kind_can_be_done() -> None:
    """Each name in the deck has its function."""
    assert set(DECK) == set(KINDS)
