"""The pages of the documentation, taken apart: headings, fenced blocks, links, tables."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README, SPANISH = ROOT / "README.md", ROOT / "README.es.md"
DOCS = ROOT / "docs"
STARTED, TROUBLES = DOCS / "getting-started.md", DOCS / "troubleshooting.md"
PAGES = (README, SPANISH, *sorted(DOCS.glob("*.md")))


class Block(NamedTuple):
    """A fenced block: its language, and its text with the line break at the end."""

    language: str
    text: str


class Command(NamedTuple):
    """A line after a `$`, and what the page shows of its output."""

    line: str
    output: list[str]


def blocks(page: Path) -> list[Block]:
    """All fenced blocks, in their order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [Block(*each) for each in found]


def commands(console: Block) -> Iterator[Command]:
    """The commands of a console block; comments behind them are cut off."""
    for part in re.split(r"^\$ ", console.text, flags=re.MULTILINE)[1:]:
        line, *output = part.splitlines()
        yield Command(re.sub(r"\s+# .*", "", line), output)


def prose(page: Path) -> str:
    """What is not in a fenced block."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def headings(page: Path) -> list[tuple[int, str]]:
    """Level and text of each heading."""
    return [(len(level), text) for level, text in re.findall(r"^(#+) (.*)$", prose(page), re.MULTILINE)]


def anchor(heading: str) -> str:
    """What a link names a heading by, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(page: Path) -> list[str]:
    """Where its links and pictures lead."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def rows(page: Path) -> Iterator[list[str]]:
    """The cells of all rows of its tables, without the heads."""
    for line in re.findall(r"^\|(.*)\|$", prose(page), re.MULTILINE):
        yield [cell.strip() for cell in line.split("|")]
