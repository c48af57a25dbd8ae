"""Summary: dead letters by reason, with how many, when, and a few of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from kpi_app.feeds.check import EXAMPLES
from kpi_app.rejected.letters import Found, Receipts
from kpi_app.stream.deadletters import Letter


@dataclass
class Rejected:
    """The letters of one reason."""

    lines: int = 0
    #: Of them, those whose lines were sent through again.
    replayed: int = 0
    #: Kafka times of the records, milliseconds; None where none of them has one.
    first_ms: int | None = None
    last_ms: int | None = None
    #: The first ones that were not replayed.
    examples: list[Letter] = field(default_factory=list)

    def add(self, letter: Letter, replayed: bool) -> None:
        """Take in one more."""
        self.lines += 1
        self.replayed += replayed
        if letter.timestamp_ms is not None:
            times = [letter.timestamp_ms, *(each for each in (self.first_ms, self.last_ms) if each is not None)]
            self.first_ms, self.last_ms = min(times), max(times)
        if not replayed and len(self.examples) < EXAMPLES:
            self.examples.append(letter)


@dataclass
class Summary:
    """All letters so far."""

    by_reason: dict[str, Rejected] = field(default_factory=dict)
    #: Records that are none of this version's letters.
    strangers: int = 0

    def add(self, some: Iterable[Found], replayed: Receipts, reason: str | None) -> None:
        """Take in records: of the letters, those with this reason, or all."""
        for place, content in some:
            if content is None:
                self.strangers += 1
            elif isinstance(content, Letter) and reason in (None, content.reason):
                known = replayed.hold(place, content)
                self.by_reason.setdefault(content.reason, Rejected()).add(content, known)

    @property
    def listed(self) -> list[tuple[str, Rejected]]:
        """By reason, that with the most letters first."""
        return sorted(self.by_reason.items(), key=lambda each: (-each[1].lines, each[0]))
