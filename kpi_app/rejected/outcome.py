"""Outcome: what a replay did with the letters, by their reason."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Fate(StrEnum):
    """What became of a letter that waited."""

    #: Its line was sent through again, or would be in a dry run.
    SENT = "sent"
    #: Its line still can't be read.
    STILL = "rejected still"
    #: The raw topic has its line no more.
    GONE = "gone"
    #: The raw topic has another line there.
    OTHER = "other"


@dataclass
class Outcome:
    """How many letters met which fate, so far."""

    by_reason: dict[str, Counter[Fate]] = field(default_factory=dict)
    #: Records that are none of this version's letters.
    strangers: int = 0

    def add(self, reason: str, fate: Fate) -> None:
        """Count one more."""
        self.by_reason.setdefault(reason, Counter())[fate] += 1

    def total(self, *fates: Fate) -> int:
        """How many met one of these."""
        return sum(count[fate] for count in self.by_reason.values() for fate in fates)
