"""Dead letters: what is kept of a rejected line."""

import json

from faust.types import TP

from kpi_app.stream.deadletters import KEPT_BYTES, DeadLetter

WHERE = TP("access-log", 3)


def letter(value: bytes | None, anonymise_ip: bool = True) -> dict[str, object]:
    told: dict[str, object] = json.loads(DeadLetter.of(WHERE, 7, None, "format", value, anonymise_ip).encode())
    return told


def test_letter_says_where_the_line_is_and_why() -> None:
    """The whole of it can be found in the raw topic."""
    told = letter(b"nonsense")
    assert (told["topic"], told["partition"], told["offset"]) == ("access-log", 3, 7)
    assert (told["reason"], told["value"], told["truncated"]) == ("format", "nonsense", False)
    assert letter(None)["value"] is None


def test_letter_holds_no_full_address_while_they_are_anonymised() -> None:
    """A rejected line has a client like any other."""
    value = b'{"log":"203.0.113.9 - 2001:db8:1:2:3:4:5:6 [x"}'
    assert letter(value)["value"] == '{"log":"203.0.113.0 - 2001:db8:1:: [x"}'
    assert letter(value, anonymise_ip=False)["value"] == value.decode()


def test_letter_is_cut() -> None:
    """A whole batch of them has to fit in one transaction; the cut leaves no half of an address."""
    told = letter(b"x" * (KEPT_BYTES - 10) + b" 203.0.113.98")
    assert told["truncated"]
    assert told["value"] == "x" * (KEPT_BYTES - 10) + " "
    assert letter(b"x" * (KEPT_BYTES + 1), anonymise_ip=False)["value"] == "x" * KEPT_BYTES
