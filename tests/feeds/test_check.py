"""Check: what is said of a file before it is sent."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi_app.core.fold import TimeRules
from kpi_app.core.tops import CANDIDATES
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.base import Reading
from kpi_app.feeds.check import EXAMPLE_LENGTH, TOP, Check, Example, excerpt
from tests.feeds.nasty import GOOD_LINES, LINES
from tests.recount import recount

RULES = TimeRules(window_s=60, grace_s=60, future_limit_s=60)


def line(clock: str, rest: str = '"GET / HTTP/1.1" 200 5') -> bytes:
    return f"1.2.3.4 - - [23/May/2023:{clock} +0000] {rest}".encode(errors="surrogateescape")


def checked(*batches: list[bytes]) -> Check:
    check = Check(ACCESS, Reading(), RULES)
    for batch in batches:
        check.add(batch)
    return check


def test_formats_times_and_totals_are_found() -> None:
    """Over all batches."""
    check = checked(
        [line("14:21:08"), line("14:20:01", '"-" 404 - "-" "curl"')],
        [line("14:59:59", '"-" 503 7 "-" "curl" "-"'), line("14:21:09")],
    )
    assert check.lines == 4
    assert check.formats == {"common": 2, "combined": 1, "combined_xff": 1}
    assert check.time_range == (
        datetime(2023, 5, 23, 14, 20, 1, tzinfo=UTC),
        datetime(2023, 5, 23, 14, 59, 59, tzinfo=UTC),
    )
    assert (check.totals["requests"], check.totals["bytes_sent"], check.totals["late_requests"]) == (4, 17, 1)
    assert (check.totals["status_2xx"], check.totals["status_4xx"], check.totals["status_5xx"]) == (2, 1, 1)
    assert (check.rejected, check.rejected_share) == ({}, 0)


def test_rejected_lines_are_counted_and_the_first_three_shown() -> None:
    """By reason, with their numbers in the file."""
    check = checked([line("14:21:08"), b"a", b"b"], [b"c", b"d", b"\xff", line("25:00:00"), b"{}"])
    assert check.rejected["format"].count == 4
    assert check.rejected["format"].examples == [Example(2, "a"), Example(3, "b"), Example(4, "c")]
    assert {reason: rejects.examples[0].number for reason, rejects in check.rejected.items()} == {
        "format": 2,
        "encoding": 6,
        "time": 7,
        "json": 8,
    }
    assert check.rejected_share == 7 / 8


def test_named_format_shows_what_it_would_reject() -> None:
    """A user sees the lines that a setting leaves out."""
    check = Check(ACCESS, Reading("combined"), RULES)
    check.add([line("14:21:08"), line("14:21:08", '"-" 404 - "-" "curl"')])
    assert (check.formats, check.rejected["format"].count) == ({"combined": 1}, 1)


def test_most_frequent_values_are_found() -> None:
    """Of each dimension that some line fills, over all batches; equal ones by name."""
    check = checked(
        [line("14:21:08"), line("14:21:09", '"POST /b HTTP/1.1" 404 5')],
        [line("14:21:10", '"GET /b?x HTTP/1.1" 200 5'), b"nonsense", line("14:21:11", '"\\x16\\x03" 400 5')],
    )
    tops = check.tops()
    assert set(tops) == {"status", "method", "protocol", "path", "client"}
    assert tops["path"] == [("/b", 2, True), ("(none)", 1, True), ("/", 1, True)]
    assert tops["status"] == [("200", 2, True), ("400", 1, True), ("404", 1, True)]
    assert tops["client"] == [("1.2.3.0", 4, True)]


def test_values_beyond_the_bounds_are_not_held() -> None:
    """A file of endless paths does not fill the memory; counts that may lack some say so."""
    often = [line("14:21:08", '"GET /often HTTP/1.1" 200 5')] * 10
    others = [line("14:21:08", f'"GET /{n} HTTP/1.1" 200 5') for n in range(2 * CANDIDATES)]
    check = checked(often + others)
    assert check.tops()["path"][0] == ("/often", 10, True)
    check.add([line("14:21:08", '"GET /late HTTP/1.1" 200 5')] * 20)
    assert check.tops()["path"][:2] == [("/late", 20, False), ("/often", 10, True)]
    assert len(check.tops()["path"]) == TOP


def test_sent_value_is_judged_and_the_line_of_the_file_is_shown() -> None:
    """What the envelope mends (here an invalid byte) is not a fault, and examples are the file's own lines."""
    check = Check(ACCESS, Reading(), RULES)
    sound = line("14:21:08", '"GET /\ufffd HTTP/1.1" 200 5').decode()
    check.add([line("14:21:08", '"GET /\udcff HTTP/1.1" 200 5'), b"nonsense"], [sound.encode(), b'{"log":"nonsense"}'])
    assert check.totals["requests"] == 1
    assert check.rejected["format"].examples == [Example(2, "nonsense")]


def test_what_lines_lack_is_counted() -> None:
    """By dimension; `ip` and `uri` are none of the names that are read, and what is rejected lacks nothing."""
    check = checked(
        [line("14:21:08"), b"nonsense"],
        [b'{"time":"2023-05-23T14:21:09Z","ip":"1.2.3.4","uri":"/","status":200}'],
    )
    assert check.totals["requests"] == 2
    lacking = {name for name, count in check.lacking.items() if count}
    assert lacking == {"client", "method", "protocol", "host", "referrer", "browser", "os", "device", "bot"}
    assert (check.lacking["client"], check.lacking["host"]) == (1, 2)


def test_lines_of_the_future_are_rejected_where_a_time_is_known() -> None:
    """As the worker does, by the time of the record that would hold them."""
    check = checked([line("14:25:00")])
    assert check.rejected == {}
    check.add([line("14:25:00"), line("14:21:08")], sent_at=datetime(2023, 5, 23, 14, 22, tzinfo=UTC))
    assert {reason: rejects.count for reason, rejects in check.rejected.items()} == {"future": 1}
    assert (check.totals["requests"], check.formats) == (2, {"common": 2})


def test_nothing_read_yet() -> None:
    """An empty file has no time and no share of rejected lines."""
    check = checked()
    assert (check.lines, check.time_range, check.rejected_share, check.totals["requests"]) == (0, None, 0, 0)
    assert checked([b"nonsense"]).time_range is None


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain \xc3\xa9", "plain é"),
        (b"\x1b[2J\x07\x00\r\n\t\x7f", "�[2J������"),
        ("\x9b1A \u202eabc\u2066 \u200b \u2028 \ufeff".encode(), "�1A �abc� � � �"),
        (b"\xff\xc3", "��"),
        (b"x" * EXAMPLE_LENGTH, "x" * EXAMPLE_LENGTH),
        (b"x" * (EXAMPLE_LENGTH + 1), "x" * EXAMPLE_LENGTH + "…"),
        ("😀".encode() * 10_000, "😀" * EXAMPLE_LENGTH + "…"),
    ],
)
def test_example_is_safe_to_print(raw: bytes, shown: str) -> None:
    """Control characters and marks of direction are replaced, and it is cut."""
    assert excerpt(raw) == shown


@given(st.binary() | st.text().map(str.encode))
def test_any_example_is_printable_and_short(raw: bytes) -> None:
    """Nothing in a log moves a terminal's cursor."""
    assert excerpt(raw).isprintable()
    assert len(excerpt(raw)) <= EXAMPLE_LENGTH + 1


@settings(max_examples=60)
@given(st.lists(st.lists((GOOD_LINES | LINES).map(str.encode), min_size=1, max_size=10), max_size=5))
def test_check_finds_what_a_recount_finds(batches: list[list[bytes]]) -> None:
    """Whatever the file holds."""
    check = checked(*batches)
    truth = recount(line for batch in batches for line in batch)
    assert {reason: rejects.count for reason, rejects in check.rejected.items()} == truth.rejected
    assert (check.lines, check.totals["requests"]) == (truth.lines, truth.counted)
    assert check.totals["late_requests"] == sum(window.late for window in truth.windows.values())
    accepted = [name for number, name in truth.formats.items() if number not in truth.reasons]
    assert check.formats == {name: accepted.count(name) for name in set(accepted)}
