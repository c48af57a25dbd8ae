"""docs/troubleshooting.md quotes what the programs say, and every reason for which a worker ends itself."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.docs.pages import ROOT, TROUBLES, rows

#: What stands on the page for what differs, and here for what is put into a text when it is said.
GAP = "…"
CODE = sorted((ROOT / "kpi_app").rglob("*.py"))
#: What ends a worker; the text comes first.
STOPS = ("StopWorker", "stop_worker")


def texts(tree: ast.AST) -> Iterator[str]:
    """The texts that a module has, in one piece each, with gaps for what is put into them."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside
        ):
            yield text_of(node)


def text_of(node: ast.AST) -> str:
    """A literal's text; of an expression, a gap."""
    if isinstance(node, ast.Constant):
        return re.sub(r"%[\d.]*[sdfgr]", GAP, str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(map(text_of, node.values))
    return GAP


def quoted() -> list[str]:
    """The messages on the page: what is in backticks in the first column of the tables of messages."""
    page = TROUBLES.read_text()
    messages = re.findall(r"^\| message \|.*?(?=^$)", page, re.MULTILINE | re.DOTALL)
    first = [line.split("|")[1] for table in messages for line in table.splitlines()[2:]]
    return [text for cell in first for text in re.findall(r"`([^`]+)`", cell)]


def pattern(message: str) -> re.Pattern[str]:
    """What is quoted, with anything in its gaps."""
    return re.compile(".*".join(re.escape(part) for part in message.split(GAP)), re.DOTALL)


SAID = [text for path in CODE for text in texts(ast.parse(path.read_text()))]
SAID += (ROOT / "Makefile").read_text().splitlines()
#: Names of settings and steps are put into texts; two messages are the system's own.
GIVEN = {"KPI_…=…: …", "flush", "merge", "tidy", "Permission denied", "Profiling timer expired"}


@pytest.mark.parametrize("message", sorted(set(quoted()) - GIVEN))
def test_a_quoted_message_is_one_of_the_code(message: str) -> None:
    """A message that changes takes the page with it."""
    assert len(message.replace(GAP, "").strip()) >= 10, "too little to find it by"
    assert any(pattern(message).search(text) for text in SAID)


def test_messages_are_found() -> None:
    """The page has many, and what is no message is not found."""
    assert len(quoted()) > 80
    assert not any(pattern("this is … said by nobody").search(text) for text in SAID)


def ends() -> Iterator[str]:
    """What a worker says when it ends itself."""
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            stops = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in STOPS
            if stops and isinstance(node.args[0], ast.Constant | ast.JoinedStr):
                yield text_of(node.args[0])


def test_every_end_of_a_worker_is_on_the_page() -> None:
    """A reason that is added without a word about it fails here."""
    said = set(ends())
    assert len(said) > 8
    assert [text for text in said if not any(pattern(message).search(text) for message in quoted())] == []


def test_every_row_says_what_helps() -> None:
    """Three cells, the last one not empty."""
    assert [cells for cells in rows(TROUBLES) if len(cells) > 2 and not (len(cells) == 3 and cells[2])] == []
