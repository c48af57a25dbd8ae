"""Access lines: which are told apart, in which format, and what their fields say."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kpi_app.core.groups import INT64_MAX
from kpi_app.core.sketches import bucket
from kpi_app.feeds import FEEDS
from kpi_app.feeds.access import ACCESS, parse
from kpi_app.feeds.access_formats import FORMATS
from kpi_app.feeds.base import Reading
from kpi_app.feeds.envelope import decode
from tests.feeds.nasty import LINES
from tests.recount import Rejected, read

TIME = "23/May/2023:14:21:08 +0000"
EVENT = datetime(2023, 5, 23, 14, 21, 8, tzinfo=UTC)
COMMON = f'192.0.2.7 - - [{TIME}] "GET /x HTTP/1.1" 200 5120'
COMBINED = f'{COMMON} "https://example.org/" "Mozilla/5.0 (X11; Linux)"'
COMBINED_XFF = f'{COMBINED} "198.51.100.9, 203.0.113.4"'

Parsed = tuple[str, datetime, int | None, int] | str


def parsed(*lines: str | None, log_format: str = "auto") -> list[Parsed]:
    """Format, time, status and bytes of each line that is accepted; the reason of each that isn't."""
    reasons = ["json" if line is None else None for line in lines]
    frame = parse(
        pl.DataFrame({"line": lines, "reason": reasons}, {"line": pl.String, "reason": pl.String}), Reading(log_format)
    )
    assert frame.schema["event_us"] == frame.schema["bytes"] == pl.Int64
    return [
        row["reason"]
        or (row["format"], datetime.fromtimestamp(row["event_us"] / 1e6, UTC), row["status"], row["bytes"])
        for row in frame.iter_rows(named=True)
    ]


def timed(time: str) -> str:
    return COMBINED.replace(TIME, time)


@pytest.mark.parametrize(("line", "name"), [(COMMON, "common"), (COMBINED, "combined"), (COMBINED_XFF, "combined_xff")])
def test_each_format_is_told_apart_by_itself(line: str, name: str) -> None:
    """`auto` takes all formats, line by line; a named format takes its own and rejects the others."""
    accepted = (name, EVENT, 200, 5120)
    assert parsed(line) == [accepted]
    for log_format in FORMATS:
        assert parsed(line, log_format=log_format) == [accepted if log_format == name else "format"]


@pytest.mark.parametrize(
    "request_text", ["", "-", r"\x16\x03\x01\x02", "GET", "quit", r"GET /\"a\" HTTP/1.1", "\\\\", "é"]
)
def test_request_that_is_none_still_counts(request_text: str) -> None:
    """Probes, TLS bytes on a plain port and nothing at all are requests, too."""
    line = COMBINED.replace("GET /x HTTP/1.1", request_text)
    assert parsed(line) == [("combined", EVENT, 200, 5120)]


@pytest.mark.parametrize(
    "line",
    [
        COMBINED.replace("GET /x", 'GET /"x"'),
        COMBINED.replace("GET /x", 'GET /?q=" 200 6 "'),
        COMBINED.replace("GET /x HTTP/1.1", "GET /x\\"),
        COMBINED.replace("X11;", '"X11" ;'),
        COMBINED.replace("X11; Linux)", 'X11) "'),
        COMBINED.replace("X11; Linux)", "X11\\"),
        COMBINED.replace("- -", "- frank sinatra"),
        COMBINED.replace("- -", "- a [b] c"),
        COMBINED.replace("- -", "- frank[1]"),
        COMBINED.replace("- -", "-  "),
        COMBINED.replace("- -", "frank -") + "\r\n",
        COMBINED.replace("192.0.2.7", "2001:db8::7"),
        COMBINED.replace("192.0.2.7", "unix:"),
        COMBINED.replace("] ", "]  ").replace(" 200 ", "\t200  "),
        f"  {COMBINED}  ",
        f"{COMBINED}\r",
        f"{COMBINED}\n",
        f"{COMBINED}\r\n",
    ],
)
def test_line_that_a_reader_can_still_tell_apart_counts(line: str) -> None:
    """Quotes in texts, user names with spaces or brackets, any client, spare space and line ends do no harm."""
    assert parsed(line) == [("combined", EVENT, 200, 5120)]
    assert parsed(line, log_format="combined") == [("combined", EVENT, 200, 5120)]
    assert parsed(line, log_format="combined_xff") == ["format"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "hello",
        COMMON[:-5],
        COMBINED[:-1],
        COMBINED_XFF[:-1],
        COMBINED_XFF + ' "-"',
        COMBINED.replace("org", 'o"g'),
        COMBINED + " 0.123",
        f"www.example.org:443 {COMBINED}",
        f"198.51.100.9, {COMBINED}",
        COMBINED.replace("- - ", ""),
        COMBINED.replace("- - ", "- "),
        COMBINED.replace("[", "").replace("]", ""),
        COMBINED.replace("200", "20"),
        COMBINED.replace("200", "2000"),
        COMBINED.replace("200", "٢٠٠"),
        COMBINED.replace("5120", "-5"),
        COMBINED.replace("5120", "5.1"),
        COMBINED.replace("5120", "1" * 14),
        f"{COMBINED}\n{COMBINED}",
        COMBINED.replace("/x", "/\n"),
        f"\ufeff{COMBINED}\0",
        '{"time":"2023-05-23T14:21:08Z","status":200}',
    ],
)
def test_line_that_cannot_be_told_apart_is_rejected(line: str) -> None:
    """Cut lines, fields of other formats before or behind, sizes that are none: better a reason than a wrong number."""
    assert parsed(line) == ["format"]


@pytest.mark.parametrize(
    ("time", "utc"),
    [
        ("23/May/2023:14:21:08 +0530", datetime(2023, 5, 23, 8, 51, 8, tzinfo=UTC)),
        ("01/Jan/2024:00:30:00 +0100", datetime(2023, 12, 31, 23, 30, tzinfo=UTC)),
        ("29/Feb/2024:23:59:59 -1200", datetime(2024, 3, 1, 11, 59, 59, tzinfo=UTC)),
        ("23/May/2023:14:21:08 -0000", EVENT),
        ("24/May/2023:14:20:08 +2359", EVENT),
        ("01/Jan/1970:00:00:00 +0000", datetime(1970, 1, 1, tzinfo=UTC)),
        ("31/Dec/9999:23:59:59 +0000", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_event_time_is_the_one_in_the_line(time: str, utc: datetime) -> None:
    """Any zone offset is taken into account; the years are 1970 to 9999 in UTC."""
    assert parsed(timed(time)) == [("combined", utc, 200, 5120)]


@pytest.mark.parametrize(
    "time",
    [
        "",
        "-",
        "30/Feb/2023:14:21:08 +0000",
        "29/Feb/2023:14:21:08 +0000",
        "23/Mai/2023:14:21:08 +0000",
        "23/may/2023:14:21:08 +0000",
        "3/May/2023:14:21:08 +0000",
        "23/May/2023:24:00:00 +0000",
        "23/May/2023:14:60:00 +0000",
        "31/Dec/2016:23:59:60 +0000",
        "23/May/2023:14:21:08 +9999",
        "23/May/2023:14:21:08 +2400",
        "23/May/2023:14:21:08 +0060",
        "23/May/2023:14:21:08",
        "23/May/2023:14:21:08 UTC",
        "23/May/2023:14:21:08 +00:00",
        "2023-05-23T14:21:08+00:00",
        "1684851668.123",
        "31/Dec/1969:23:59:59 +0000",
        "01/Jan/1970:00:00:00 +0100",
        "31/Dec/9999:23:59:00 -0001",
        "01/Jan/0000:00:00:00 +0000",
    ],
)
def test_time_that_no_clock_shows_is_its_own_reason(time: str) -> None:
    """The fields are told apart, so the dead letter says that it is the time that is wrong."""
    assert parsed(timed(time)) == parsed(timed(time), log_format="combined") == ["time"]
    assert parsed(timed(time), log_format="common") == ["format"]


@pytest.mark.parametrize(("size", "sent"), [("-", 0), ("0", 0), ("9" * 13, 9_999_999_999_999), ("0" * 12 + "7", 7)])
def test_size_of_a_hyphen_is_no_bytes(size: str, sent: int) -> None:
    """Sizes have up to 13 digits."""
    assert parsed(COMBINED.replace("5120", size)) == [("combined", EVENT, 200, sent)]


@pytest.mark.parametrize(("status", "value"), [("000", 0), ("101", 101), ("499", 499), ("999", 999), ("-", None)])
def test_status_is_three_digits_or_a_hyphen(status: str, value: int | None) -> None:
    """Numbers that HTTP doesn't know are read as they are."""
    assert parsed(COMBINED.replace("200", status)) == [("combined", EVENT, value, 5120)]


def test_agent_with_quotes_is_not_an_address_list() -> None:
    """The last text is X-Forwarded-For only if it stands alone between two quotes."""
    assert parsed(f'{COMMON} "-" "a "b" c"') == [("combined", EVENT, 200, 5120)]
    assert parsed(f'{COMMON} "-" "a "b" c" "1.2.3.4"') == [("combined_xff", EVENT, 200, 5120)]


def test_request_ends_where_status_and_size_first_fit() -> None:
    """Of several readings of unescaped quotes it is always the same one, and never one that shifts the fields."""
    twice = f'1.2.3.4 - - [{TIME}] "GET /" 200 5 "-" "a" 404 7 "-" "b"'
    assert parsed(twice) == [("combined_xff", EVENT, 200, 5)]
    assert parsed(f'1.2.3.4 - - [{TIME}] "GET /" 200 5" 404 7') == [("common", EVENT, 404, 7)]


def test_reason_that_a_line_already_has_is_kept() -> None:
    """A value that gave no line keeps its reason, and rows keep their places and their other columns."""
    frame = pl.DataFrame({"line": [None, COMMON], "reason": ["json", None], "offset": [7, 8]})
    result = parse(frame, Reading())
    assert result.select("offset", "reason").rows() == [(7, "json"), (8, None)]
    assert "line" not in result.columns
    assert parse(frame.clear(), Reading()).is_empty()


def by_recount(line: str, log_format: str) -> Parsed:
    try:
        event, status, size, name = read(line, log_format)
    except Rejected as rejected:
        return str(rejected)
    return name, event, None if status == "-" else int(status), size


@settings(max_examples=500)
@given(st.lists(LINES, min_size=1, max_size=20), st.sampled_from(ACCESS.formats))
@example([COMMON, f"{COMBINED} ", COMBINED_XFF, timed("x")], "combined")
@example('0 0 0 [00/Aaa/0000:00:00:60 -0000] "" 000 0'.splitlines(), "auto")
def test_every_line_is_read_as_by_hand_and_by_itself(lines: list[str], log_format: str) -> None:
    """Whatever stands in a line, and whatever in its neighbours, an independent reading finds the same in it."""
    assert parsed(*lines, log_format=log_format) == [by_recount(line, log_format) for line in lines]


@pytest.mark.parametrize("filler", ['" ', '" 200 5 "-" "', "[", '] "', " ", "\\", '\\"', "x", '" "'])
def test_no_line_takes_more_than_linear_time(filler: str) -> None:
    """Regexes here never backtrack: a line of 256 KiB made to mislead them takes well under a second."""
    long = (filler * 262_144)[:200_000]
    lines = [
        long,
        COMBINED.replace("/x", long),
        COMBINED.replace("- -", f"- {long}"),
        COMBINED[:-1] + long,
        long + COMBINED,
    ]
    began = datetime.now(UTC)
    assert len(parsed(*lines)) == 5
    assert (datetime.now(UTC) - began).total_seconds() < 5


BUCKETS = {us: pl.select(bucket(pl.lit(us))).item() for us in (500_000, 1_000_000)}
ZEROS = {measure.name: measure.aggregate.zero() for measure in ACCESS.measures}
VALUES = ZEROS | {
    "requests": 6,
    "late_requests": 1,
    "bytes_sent": 900,
    **{f"status_{n}xx": n for n in range(1, 6)},
    "status_other": 0,
    "first_event": 1_684_851_668_000_000,
    "last_event": 1_684_851_669_000_001,
    "per_second": {8: 2, 9: 4},
    "bot_requests": 2,
    "request_time_us": 2_000_000,
    "request_time_max_us": 1_000_000,
    "request_times": {BUCKETS[500_000]: 2, BUCKETS[1_000_000]: 1},
}


def test_row_has_the_columns_that_people_read() -> None:
    """Loads are per second, times are aware."""
    row = ACCESS.row(VALUES, 60)
    assert row == {
        "requests": 6,
        "requests_per_second": 0.1,
        "peak_requests_per_second": 4,
        "bytes_sent": 900,
        **{f"status_{n}xx": n for n in range(1, 6)},
        "status_other": 0,
        "unique_visitors": 0,
        "bot_requests": 2,
        "request_time_mean": pytest.approx(2 / 3),
        **{f"request_time_{name}": pytest.approx(0.5, rel=0.01) for name in ("p50", "p90", "p95", "p99")},
        "request_time_max": 1.0,
        "late_requests": 1,
        "first_event": EVENT,
        "last_event": EVENT.replace(second=9, microsecond=1),
    }


def test_row_of_an_empty_window_has_no_times() -> None:
    """Nothing seen is nothing, not an error."""
    row = ACCESS.row(ZEROS, 3_600)
    assert (row["requests"], row["peak_requests_per_second"], row["first_event"]) == (0, 0, None)
    assert {row[f"request_time_{name}"] for name in ("mean", "p50", "p90", "p95", "p99", "max")} == {None}


def test_bytes_of_a_row_stay_within_a_bigint() -> None:
    """A column of Postgres ends at 2^63 - 1, and so does the sum."""
    assert ACCESS.row({**VALUES, "bytes_sent": 2**80}, 60)["bytes_sent"] == INT64_MAX


def test_the_example_of_a_feed_is_counted() -> None:
    """And is of people: it is what a worker warms up with."""
    for feed in FEEDS:
        [row] = feed.parse(decode([feed.example.encode()]), Reading()).to_dicts()
        assert (row["reason"], row["is_bot"]) == (None, False)


def test_feeds_have_names_and_tables_of_their_own() -> None:
    """Every feed is listed once, and `auto` is its first format."""
    assert len({feed.name for feed in FEEDS}) == len({feed.table for feed in FEEDS}) == len(FEEDS)
    assert all(feed.formats[0] == "auto" for feed in FEEDS)
