"""docs/getting-started.md says which names are read, and which lines are not: all of them as the code does."""

import re

import pytest

from kpi_app.feeds import access_fields
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.access_json import NAMES
from kpi_app.feeds.base import Reading
from kpi_app.feeds.envelope import decode
from tests.docs.pages import DOCS

PAGE = (DOCS / "getting-started.md").read_text()
COMBINED = '192.0.2.7 - - [31/Jan/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8.5"'


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose second column is called so: the names in backticks of its second cell."""
    [found] = re.findall(rf"^\| [a-z ]+ \| {heading} \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [re.findall(r"`([^`]+)`", row.split(" | ")[-1]) for row in found.splitlines()]


def reason_of(line: str) -> str | None:
    found: str | None = ACCESS.parse(decode([line.encode()]), Reading())["reason"].item()
    return found


def test_the_names_in_json_are_those_of_the_code() -> None:
    """All of them, those of one field in the order in which they count."""
    listed = [name for names in table("name in JSON") for name in names]
    assert sorted(listed) == sorted(name for names in NAMES.values() for name in names)
    for names in NAMES.values():
        places = [listed.index(name) for name in names]
        assert places == list(range(places[0], places[0] + len(names)))


def test_the_names_behind_a_line_are_those_of_the_code() -> None:
    """Hosts first."""
    assert table("name behind a line") == [
        [f"{name}=" for name in names] for names in (access_fields.HOSTS, access_fields.REQUEST_TIMES)
    ]


@pytest.mark.parametrize(
    "line",
    [
        f"{COMBINED} 0.123",
        f"example.org:443 {COMBINED}",
        f'{COMBINED} "-" "0.1" "0.2"',
        '{"remote_addr":"192.0.2.7","status":200,"request":"GET / HTTP/1.1","time":"2026-01-31 08:00:00"}',
    ],
)
def test_what_is_said_not_to_be_read_is_not(line: str) -> None:
    """And what to write in its place is."""
    assert reason_of(line) in ("format", "time")


@pytest.mark.parametrize("line", [f"{COMBINED} rt=0.123", f'{COMBINED} host=example.org uct="-"'])
def test_what_to_write_in_its_place_is_read(line: str) -> None:
    """With names behind the line."""
    assert reason_of(line) is None
