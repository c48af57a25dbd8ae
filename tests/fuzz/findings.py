"""Findings: a batch for which a claim does not hold, kept as files that anybody can look at and try again."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.claims import Broken
from tests.fuzz.sane import shown
from tests.fuzz.tried import Value

_WHY = "why.txt"


def keep(directory: Path, values: Sequence[Value], why: str) -> Path:
    """Write each value to a file of its own, in order, byte for byte (`.null` stands for none), and why beside them."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for number, value in enumerate(values):
        (directory / f"{number:03}.{'null' if value is None else 'bin'}").write_bytes(value or b"")
    (directory / _WHY).write_text(why + "\n", encoding="utf-8")
    return directory


def kept(directory: Path) -> list[Value]:
    """Read what `keep` wrote."""
    files = sorted(file for file in directory.iterdir() if file.name != _WHY)
    return [None if file.suffix == ".null" else file.read_bytes() for file in files]


def told(found: Broken, values: Sequence[Value], where: str) -> str:
    """Say what was found, in words and values that are safe to print."""
    return "\n".join(
        [
            f"{found.claim} does not hold ({where})",
            f"  {found.how}",
            *(f"  {number:03} {shown(value)}" for number, value in enumerate(values[:5])),
        ]
    )
