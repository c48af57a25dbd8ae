"""What a test tells a victim."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

#: Exit code of a victim that ended itself at a point, as `kill -9` would: no handler runs, nothing is flushed.
ENDED = 99


class Step(NamedTuple):
    """What is to happen the next time the worker comes to a point.

    `end`: it ends there, as by `kill -9`. `freeze`: SIGSTOP. `hold`: what it was about there waits until the test
    lets go, all else goes on. `lose`: the call is left out. `repeat`: it is made twice. `note`: the test hears of it.
    """

    point: str
    action: str = "end"


@dataclass(frozen=True)
class Order:
    """How to run a victim."""

    settings: Mapping[str, str]
    #: The number of its disk, and where that is.
    disk: int
    directory: Path
    script: tuple[Step, ...] = ()
    patches: tuple[str, ...] = ()
    session_s: float = 6.0
    metadata_age_s: float = 30.0
    emit_every_s: float = 0.1
    stall_after_s: float | None = 120.0

    @property
    def log(self) -> Path:
        """What workers on this disk said."""
        return self.directory / "log"
