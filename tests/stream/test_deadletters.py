"""Dead letters: what is kept of a rejected line."""

import json
from dataclasses import replace
from types import SimpleNamespace

import polars as pl
import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.core.state import PartitionState
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.base import REASONS, Reading
from kpi_app.stream.bend import Records
from kpi_app.stream.deadletters import KEPT_BYTES, REPLAY_HEADER, DeadLetter, Letter, Receipt, read_back
from kpi_app.stream.fold import Folding, fold_records
from tests.core.test_state import RULES
from tests.stream.test_partition import LINE

WHERE = TP("access-log", 3)
NOW_MS = 1_700_000_000_000


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


@pytest.mark.parametrize("anonymise_ip", [True, False])
@given(value=st.one_of(st.none(), st.binary(max_size=300)), stamp=st.sampled_from([None, -1, 0, 7]))
def test_a_letter_that_is_read_back_tells_of_its_line(
    anonymise_ip: bool, value: bytes | None, stamp: int | None
) -> None:
    """Whatever the line holds; of no other."""
    sent = DeadLetter.of(WHERE, 7, stamp, "format", value, anonymise_ip).encode("b1")
    found = read_back(sent, WHERE.topic)
    assert isinstance(found, Letter)
    assert (found.partition, found.offset, found.reason, found.birth) == (3, 7, "format", "b1")
    assert found.is_of(stamp, value)
    assert not found.is_of(8, value)
    assert not found.is_of(stamp, (value or b"") + b"?")


def test_a_receipt_is_read_back() -> None:
    """It names a letter by its offset, and by what that tells of."""
    assert read_back(RECEIPT.encode(), "access-log") == RECEIPT


RECEIPT = Receipt(5, "time", 3, 7, "b1")
LETTER = json.loads(DeadLetter.of(WHERE, 7, 1, "format", b"x", True).encode())


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff",
        b"[1]",
        b"7",
        b"{}",
        b"{" * 10_000,
        b'{"replayed":1,"reason":"format"}',
        *(
            json.dumps(json.loads(RECEIPT.encode()) | changed).encode()
            for changed in (
                {"replayed": -1},
                {"replayed": True},
                {"reason": ["format"]},
                {"partition": None},
                {"offset": "7"},
                {"birth": 1},
            )
        ),
        *(
            json.dumps(LETTER | changed).encode()
            for changed in (
                {"reason": "\x1b[2J"},
                {"reason": None},
                {"topic": "another"},
                {"partition": -1},
                {"partition": "0"},
                {"offset": 1.5},
                {"offset": 2**63},
                {"offset": True},
                {"timestamp": "now"},
                {"value": 7},
                {"birth": None},
            )
        ),
    ],
)
def test_what_others_write_to_the_topic_is_no_letter(value: bytes | None) -> None:
    """Nothing of it is taken for a place in the raw topic."""
    assert read_back(value, WHERE.topic) is None


def test_letters_of_the_first_versions_are_read() -> None:
    """They have no birth; all reasons are known."""
    old = {name: value for name, value in LETTER.items() if name != "birth"}
    for reason in REASONS:
        found = read_back(json.dumps(old | {"reason": reason}).encode(), WHERE.topic)
        assert isinstance(found, Letter)
        assert (found.reason, found.birth) == (reason, "")


@pytest.mark.parametrize(("header", "birth", "duplicates"), [(b"b1", "b1", 0), (b"b1", "b2", 1), (b"b1", "", 1)])
def test_a_line_sent_again_counts_for_the_books_that_rejected_it(header: bytes, birth: str, duplicates: int) -> None:
    """Others read the line itself: for these it is a duplicate that moves nothing, and no dead letter."""
    by = Folding(ACCESS, Reading(), RULES)
    copies = [
        SimpleNamespace(offset=offset, timestamp=-1, value=value, headers=[("own", None), (REPLAY_HEADER, header)])
        for offset, value in enumerate([LINE, b"junk"])
    ]
    for some in (copies, copies[:1], copies[1:]):
        result = fold_records(Records.of(some), 0, None, by, WHERE, None, birth)
        assert result is not None
        folded, letters = result
        assert folded.lines == len(some) == folded.counted + folded.duplicates + len(folded.rejected)
        assert folded.duplicates == duplicates * len(some)
        assert (folded.watermark_us is None) == (duplicates or some == copies[1:])
        assert len(letters) == len(folded.rejected)


def test_offsets_that_were_seen_move_nothing_else() -> None:
    """Each dead letter has the offset, the time and the value of its own record, and the feed's look is used."""
    values = [LINE, b"junk 1", b"junk 2", LINE, b"junk 4"]
    records = Records.of(
        SimpleNamespace(offset=2 * n, timestamp=NOW_MS + n, value=value, headers=()) for n, value in enumerate(values)
    )
    looks = []

    def parse(lines: pl.DataFrame, reading: Reading) -> pl.DataFrame:
        looks.append("agent" in lines.columns)
        return ACCESS.parse(lines, reading)

    by = Folding(replace(ACCESS, parse=parse), Reading(), RULES)
    for start in range(11):
        result = fold_records(records, start, None, by, WHERE)
        expected = [(2 * n, NOW_MS + n, values[n]) for n in (1, 2, 4) if 2 * n >= start]
        found = [] if result is None else [(one.offset, one.timestamp_ms, one.kept) for one in result[1]]
        assert found == expected
        assert (0 if result is None else result[0].lines) == sum(2 * n >= start for n in range(5))
    assert looks == [True] * 9


def test_a_line_sent_again_with_its_place_counts_once() -> None:
    """Rejected, it is not among the lines that are known again; replayed it counts, and what comes then is twice."""
    place = {"host": "web-1", "path": "/var/log/access.log", "file": "a", "offset": 0, "end": 200}
    value = json.dumps({**place, "log": LINE.decode()}).encode()
    strict, lenient = (Folding(ACCESS, Reading(log_format=name), RULES) for name in ("json", "auto"))
    state = PartitionState(RULES, ACCESS.measures, lambda key: b"", birth="b1")

    def read(by: Folding, header: bytes | None = None) -> None:
        books, headers = state.ledger, [] if header is None else [(REPLAY_HEADER, header)]
        record = SimpleNamespace(offset=books.next_offset, timestamp=-1, value=value, headers=headers)
        known = books.watermark_us, by, WHERE, books.passed_us, state.birth, state.seen
        result = fold_records(Records.of([record]), books.next_offset, *known)
        assert result is not None
        state.apply(result[0])

    read(strict)
    read(lenient, header=b"b2")  # of other books, from before a reset
    read(lenient, header=b"b1")
    read(lenient, header=b"b1")
    read(strict)
    books = state.ledger
    assert (books.lines, books.rejected, books.counted, books.duplicates) == (5, 1, 1, 3)
