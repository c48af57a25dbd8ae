"""Which fault comes when: a function of the seed, and of nothing that happens meanwhile."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

#: The kinds of faults, as often as each is in a deck. Decks are shuffled and dealt to the last card: a few minutes
#: have many kinds, and an hour has all of them in these shares.
DECK = {
    "worker killed, same disk": 3,
    "worker killed, empty disk": 2,
    "worker stopped": 1,
    "worker added": 1,
    "worker removed": 1,
    "worker frozen past its session": 2,
    "broker killed": 2,
    "broker stopped": 1,
    "postgres killed": 1,
    "postgres stopped": 1,
    "postgres away for 60 s": 1,
    "connections cut in mid-transaction": 2,
    "group offsets set to 0": 1,
    "all counted again": 1,
    "disk full": 2,
}

#: Two faults at once, so often in a deck; of those that need no quiet around them.
TWO = "two at once"
TWO_A_DECK = 4
_ALONE = ("postgres away for 60 s", "worker added", "worker removed", "group offsets set to 0", "all counted again")
MIXED = tuple(kind for kind in DECK if kind not in _ALONE)

#: Between the end of one fault's effects and the next fault, seconds.
_PAUSE_S = (0.0, 4.0)
#: The second of two faults comes so many seconds after the first: into it, or into the recovery from it.
_APART_S = (0.0, 8.0)


class Planned(NamedTuple):
    """A fault that is to come."""

    number: int
    #: How long after the one before it has been got over.
    pause_s: float
    #: One kind, or two at once.
    kinds: tuple[str, ...]
    #: The second of two comes this much later.
    apart_s: float
    #: Of all that is still open, such as which worker it hits.
    seed: int

    @property
    def name(self) -> str:
        """What it is counted as."""
        return self.kinds[0] if len(self.kinds) == 1 else TWO


def schedule(seed: int, only: Sequence[str] = ()) -> Iterator[Planned]:
    """Faults without end; with `only`, these kinds in this order, and no more.

    Raises `ValueError` for a kind that there is not.
    """
    if unknown := set(only) - set(DECK) - {TWO}:
        raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; there are: {', '.join([*DECK, TWO])}")
    pick = Random(seed)  # noqa: S311  no secret
    for number, kind in enumerate(only or _dealt(pick), 1):
        yield Planned(
            number,
            round(pick.uniform(*_PAUSE_S), 2),
            tuple(pick.sample(MIXED, 2)) if kind == TWO else (kind,),
            round(pick.uniform(*_APART_S), 2),
            pick.getrandbits(32),
        )


def _dealt(pick: Random) -> Iterator[str]:
    cards = [kind for kind, often in (DECK | {TWO: TWO_A_DECK}).items() for _ in range(often)]
    while True:
        yield from pick.sample(cards, len(cards))
