"""What a stranger wrote is printed as text, in 80 columns, whatever it is."""

import io
import json
import re
import unicodedata
from collections import Counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from kpi_app.cli.letters import Reason
from kpi_app.feeds.base import REASONS
from kpi_app.rejected.command import show_outcome, show_summary
from kpi_app.rejected.letters import Found, Place, Receipts
from kpi_app.rejected.outcome import Fate, Outcome
from kpi_app.rejected.summary import Summary
from kpi_app.settings import Settings
from kpi_app.stream.deadletters import Letter, Receipt

UTC = ZoneInfo("UTC")
#: Escape codes, a right-to-left mark and override, wide characters, a line break, C1 controls, a byte that was no text.
HOSTILE = [
    "\x1b[2J\x1b[31mred\x07",
    "\u202egnp.exe\u200f \u2028 \x9b2J",
    "表" * 300,
    "a\nb\r\tc\x00",
    '{"log":"\\u001b[2J [bold]not markup[/bold] :smile:"}',
    "e\u0301\u0300" * 100 + "\ufffd",
    "",
    "x" * 4_096,
]


def letter(
    text: str | None, offset: int = 0, time_ms: int | None = 1_684_851_668_000, reason: str = "format"
) -> Letter:
    return Letter(3, offset, time_ms, reason, text, False, "b1")


def summary(letters: list[Letter], replayed: set[int] | None = None) -> Summary:
    found = Summary()
    receipts = Receipts()
    receipts.note([Found(Place(0, 1 << 32), Receipt.of(number, letters[number])) for number in replayed or ()])
    some = [Found(Place(0, number), each) for number, each in enumerate(letters)]
    found.add(some, receipts, None)
    return found


def shown(found: Summary, as_json: bool = False, width: int = 80, terminal: bool = False) -> str:
    out = Console(file=io.StringIO(), width=width, markup=False, emoji=False, highlight=False, force_terminal=terminal)
    show_summary(found, Settings(timezone="Europe/Berlin"), as_json, out, Console(file=io.StringIO()))
    return out.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", [80, 60, 200])
def test_no_line_leaves_its_row(width: int) -> None:
    """Nothing moves the cursor, turns the writing, or is wider than the terminal."""
    text = shown(summary([letter(each, 10**15) for each in HOSTILE[:3]]), width=width)
    text += shown(summary([letter(each) for each in HOSTILE[3:6]]), width=width)
    text += shown(summary([letter(each) for each in HOSTILE[6:]]), width=width)
    for row in text.splitlines():
        assert cell_len(row) <= width
        assert not {unicodedata.category(each) for each in row} & {"Cc", "Cf", "Zl", "Zp"}
    assert "[bold]not markup[/bold] :smile:" in text


@given(st.text(max_size=300))
def test_any_text_is_one_row(text: str) -> None:
    """The line of an envelope as well as what is none."""
    for value in (text, json.dumps({"log": text})):
        *_, reason, row = shown(summary([letter(value)])).splitlines()
        assert (reason, row[:6]) == ("format", "  3:0 " if text.strip() else row[:6])
        assert cell_len(row) <= 80


def test_json_is_as_safe() -> None:
    """It is printed as often as it is read by a program."""
    text = shown(summary([letter(HOSTILE[0]), letter(HOSTILE[1])]), as_json=True)
    assert not {unicodedata.category(each) for each in text.replace("\n", "")} & {"Cc", "Cf", "Zl", "Zp"}
    [told] = json.loads(text)
    assert (told["reason"], told["lines"], told["replayed"]) == ("format", 2, 0)
    assert told["first"] == "2023-05-23T14:21:08Z"
    assert told["examples"][0]["line"] == "\ufffd[2J\ufffd[31mred\ufffd"


def test_reasons_are_listed_with_the_most_lines_first() -> None:
    """How many, how many of them were replayed, and when; in the time zone of the settings."""
    letters = [letter("a", 1), letter("b", 2, 1_684_851_669_999), *(letter("c", n, None, "time") for n in range(3))]
    found = shown(summary(letters, {0})).splitlines()
    assert re.fullmatch(r"reason +lines +replayed +first +last", found[0])
    assert found[1].split() == ["time", "3", "0", "–", "–"]
    assert found[2].split() == ["format", "2", "1", "2023-05-23", "16:21:08", "2023-05-23", "16:21:09"]
    assert "Europe/Berlin" in found[3]
    assert found[-1] == "  3:2 b"  # the other one was replayed


@pytest.mark.parametrize("time_ms", [0, 2**62, 253_402_300_799_999])
def test_a_producers_wild_time_is_shown(time_ms: int) -> None:
    """Whoever writes to Kafka may say any."""
    assert re.search("1970|9999", shown(summary([letter("x", 0, time_ms)])))
    assert shown(summary([letter("x", 0, time_ms)]), as_json=True)


def test_no_letters_are_told_in_a_line() -> None:
    """Of a program's list, that it is empty."""
    assert shown(Summary()) == "no rejected lines\n"
    assert json.loads(shown(Summary(), as_json=True)) == []


def test_receipts_and_strangers_are_no_lines() -> None:
    """What others wrote to the topic is counted apart."""
    found = Summary()
    found.add([Found(Place(0, 0), None), Found(Place(0, 1), Receipt(0, "format", 0, 0, "b1"))], Receipts(), None)
    assert (found.by_reason, found.strangers) == ({}, 1)


def test_a_replay_is_told_by_reason() -> None:
    """Sent, and left for which cause; with a word on each that occurs."""
    outcome = Outcome({"format": Counter({Fate.SENT: 1_000, Fate.STILL: 2}), "time": Counter({Fate.GONE: 1})})
    out, err = (Console(file=io.StringIO(), width=80) for _ in range(2))
    show_outcome(outcome, False, False, out, err)
    rows = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [row.split() for row in rows[1:]] == [["format", "1,000", "2", "0", "0"], ["time", "0", "0", "1", "0"]]
    assert [said.split(":")[0] for said in err.file.getvalue().splitlines()] == [  # type: ignore[attr-defined]
        "rejected still",
        "gone",
    ]


def test_the_reasons_to_choose_from_are_those_that_there_are() -> None:
    """A new reason is one of the option's, too."""
    assert tuple(Reason) == REASONS
