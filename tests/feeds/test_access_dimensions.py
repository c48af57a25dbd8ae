"""Dimensions, visitors and request times of access lines, against plain readings of single values."""

import json
import unicodedata
from ipaddress import ip_network
from urllib.parse import urlsplit

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi_app.feeds.access import parse
from kpi_app.feeds.access_dimensions import DIMENSIONS
from kpi_app.feeds.base import Reading
from kpi_app.feeds.values import clean, clean_column
from kpi_app.sources.visitors import BROWSERS

TIME = "23/May/2023:14:21:08 +0000"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
HOSTILE = ["\0", "\x1b[2J", "\u202e", "(other)", "(none)", "[/x]", "=1+1", '"', "\ufeff", "\u2028", "é", "x" * 65_536]


def line(request: str = "GET /x HTTP/1.1", referrer: str = "-", agent: str = BROWSERS[0], end: str = "") -> str:
    return f'192.0.2.7 - - [{TIME}] "{request}" 200 5 "{referrer}" "{agent}"{end}'


def parsed(*lines: str | None, reading: Reading | None = None) -> pl.DataFrame:
    frame = pl.DataFrame({"line": lines, "reason": None}, {"line": pl.String, "reason": pl.String})
    return parse(frame, reading or Reading())


def by(dimension: str, text: str, reading: Reading | None = None) -> str | None:
    [value] = parsed(text, reading=reading)[f"by_{dimension}"]
    return value if value is None else str(value)


def as_json(**fields: object) -> str:
    return json.dumps(
        {"time_iso8601": "2023-05-23T14:21:08+00:00", "status": "200", "remote_addr": "192.0.2.7", **fields}
    )


def safe(value: str) -> str:
    """A value as it may be shown, letter by letter."""
    if value in ("", "-"):
        return "(none)"
    shown = "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in value)
    shown = "\\" + shown if shown[0] == "(" else shown
    while len(shown.encode()) > 512:
        shown = shown[:-1] if len(shown) <= 600 else shown[:600]
    return shown


@given(st.lists(st.text(max_size=40) | st.sampled_from(HOSTILE) | st.text("é\0(😀-", min_size=300, max_size=700)))
def test_values_are_made_safe(values: list[str]) -> None:
    """Cut between characters, nothing that moves a cursor, and nothing that could be taken for ours."""
    expected = [safe(value) for value in values]
    assert [clean(value) for value in values] == expected
    assert clean_column(pl.Series("path", values, dtype=pl.String)).to_list() == expected


@pytest.mark.parametrize(
    ("request_text", "told"),
    [
        ("GET /a/b?c=d#e HTTP/1.1", ("GET", "/a/b", "HTTP/1.1")),
        ("POST / HTTP/2.0", ("POST", "/", "HTTP/2.0")),
        ("M-SEARCH * HTTP/1.1", ("M-SEARCH", "*", "HTTP/1.1")),
        ("GET http://u@h.example:80/a?b HTTP/1.0", ("GET", "/a", "HTTP/1.0")),
        ("GET http://h.example HTTP/1.0", ("GET", "/", "HTTP/1.0")),
        ("CONNECT h.example:443 HTTP/1.1", ("CONNECT", "h.example:443", "HTTP/1.1")),
        ("GET (other) HTTP/3", ("GET", "\\(other)", "HTTP/3")),
        ("GET ?a HTTP/1.1", ("GET", "(none)", "HTTP/1.1")),
        ("get / HTTP/1.1", ("(none)",) * 3),
        ("GET /", ("(none)",) * 3),
        ("GET /a b HTTP/1.1", ("(none)",) * 3),
        (f"{'A' * 21} / HTTP/1.1", ("(none)",) * 3),
        (r"\x16\x03\x01", ("(none)",) * 3),
        ("", ("(none)",) * 3),
        ("-", ("(none)",) * 3),
    ],
)
def test_request_has_method_path_and_protocol_or_none_of_them(request_text: str, told: tuple[str, str, str]) -> None:
    """Whichever format the line is in."""
    for text in (line(request_text), as_json(request=request_text)):
        [row] = parsed(text).select("by_method", "by_path", "by_protocol").rows()
        assert row == told


@settings(max_examples=50)
@given(st.lists(st.sampled_from([*HOSTILE, "/", "?", "#", "a", "//", ":"]), max_size=4).map("".join))
def test_path_is_the_target_without_its_query(target: str) -> None:
    """Hostile ones are made safe."""
    rest = f"/{target}"
    path = rest.split("?")[0].split("#")[0]
    assert by("path", as_json(request_method="GET", request_uri=rest)) == (safe(path) if " " not in rest else "(none)")


@pytest.mark.parametrize(
    "referrer",
    [
        *(
            "https://www.Google.com/search?q=a",
            "http://a.example:8080",
            "https://u:p@b.example/",
            "android-app://com.x/",
        ),
        *(
            "-",
            "",
            "www.google.com",
            "javascript:alert(1)",
            "https://",
            "http://[2001:db8::1]:80/x",
            "http://é.example/",
        ),
        *(r"\x22", "//a.example/", "http://a b/", "http://a\\b/"),
    ],
)
def test_referrer_is_a_site(referrer: str) -> None:
    """The host of the URL, in lower case; anything else is none."""
    host = urlsplit(referrer).hostname if "://" in referrer and not set(referrer) & set(" \\") else None
    expected = f"[{host}]" if host and ":" in host else host or "(none)"
    assert by("referrer", as_json(http_referer=referrer)) == expected


def test_format_that_has_no_such_thing_gives_null() -> None:
    """`(none)` is for a line that could have said it."""
    common = f'192.0.2.7 - - [{TIME}] "GET / HTTP/1.1" 200 5'
    lacks = {"host", "referrer", "browser", "os", "device", "bot"}
    assert {name for name in DIMENSIONS if by(name, common) is None} == lacks
    assert {name for name in DIMENSIONS if by(name, line()) is None} == {"host"}
    assert {name for name in DIMENSIONS if by(name, line(agent="-", end=" host=-")) == "(none)"} == {
        *("host", "referrer", "browser", "os", "device", "bot")
    }
    assert parsed(common)["is_bot"].to_list() == [False]


def test_rejected_lines_have_no_values_and_rows_keep_their_places() -> None:
    """Also where the reason was there before."""
    frame = parsed("nonsense", line(agent=GOOGLEBOT), None, line().replace("May", "Mai"))
    columns = ["visitor", "is_bot", "request_time_us", *(f"by_{name}" for name in DIMENSIONS)]
    assert [all(value is None for value in row) for row in frame.select(columns).rows()] == [True, False, True, True]
    assert frame.schema["visitor"] == pl.UInt64
    assert frame["by_bot"].to_list() == [None, "Googlebot", None, None]
    assert frame["is_bot"].to_list() == [None, True, None, None]
    empty = parse(frame.clear().select("reason", line=pl.lit(None, pl.String)), Reading())
    assert [(c.name, c.dtype.base_type()) for c in empty] == [(c.name, c.dtype.base_type()) for c in frame]


@pytest.mark.parametrize(
    ("end", "time_us"),
    [
        (" rt=0.123", 123_000),
        (' host=a.example rt="0.5"', 500_000),
        (" request_time=2 rt=9", 2_000_000),
        (' "192.0.2.1" urt=0.1, 0.2 : 0.3 uct="-" rt=0.004', 4_000),
        (" rt=-0.001", 0),
        (" rt=1e999", 10**13),
        (f" rt={'9' * 40}", 10**13),
        *(
            (end, None)
            for end in (" rt=-", " rt=", ' rt="0.1, 0.2"', " rt=NaN", " rt=0x1", " urt=0.1", ' ua="x rt=1"', "")
        ),
    ],
)
def test_request_time_is_the_one_with_its_name(end: str, time_us: int | None) -> None:
    """Seconds with a name; a number without one, and those of upstreams, are not guessed."""
    assert parsed(line(end=end))["reason"].to_list() == [None]
    assert parsed(line(end=end))["request_time_us"].to_list() == [time_us]


@pytest.mark.parametrize("given", ["Example.ORG", "example.org:8080", '"example.org"'])
def test_host_is_read_behind_the_line(given: str) -> None:
    """In lower case, without its port."""
    assert by("host", line(end=f" rt=0.1 host={given}")) == "example.org"
    assert by("host", as_json(host=given.strip('"'))) == "example.org"


def test_clients_are_anonymised_unless_told_otherwise() -> None:
    """What is counted by client names a network."""
    named = as_json(remote_addr="host.example")
    assert by("client", line()) == "192.0.2.0"
    assert by("client", named) == "(none)"
    assert by("client", line(), Reading(anonymise_ip=False)) == "192.0.2.7"
    assert by("client", named, Reading(anonymise_ip=False)) == "host.example"


def test_clients_behind_trusted_proxies_are_told_apart() -> None:
    """By default the header is not believed."""
    lines = [line(end=f' "203.0.{n}.1"') for n in (1, 2)]
    trusting = Reading(trusted_proxies=(ip_network("192.0.2.0/24"),))
    assert parsed(*lines)["by_client"].to_list() == ["192.0.2.0", "192.0.2.0"]
    assert parsed(*lines, reading=trusting)["by_client"].to_list() == ["203.0.1.0", "203.0.2.0"]
    assert parsed(*lines)["visitor"].n_unique() == 1
    assert parsed(*lines, reading=trusting)["visitor"].n_unique() == 2


def test_client_with_a_line_break_is_no_list_of_hops() -> None:
    """JSON can hold one: what follows it is not taken for an X-Forwarded-For."""
    trusting = Reading(trusted_proxies=(ip_network("192.0.2.0/24"),), anonymise_ip=False)
    text = as_json(remote_addr="192.0.2.7\n203.0.113.9")
    assert by("client", text, trusting) == "192.0.2.7\ufffd203.0.113.9"


def test_visitor_is_a_client_and_an_agent_under_a_key() -> None:
    """Equal pairs have equal numbers, others not, and another key changes them all."""
    pairs = [(client, agent) for client in ("192.0.2.7", "192.0.2.8") for agent in BROWSERS[:3]] * 2
    lines = [as_json(remote_addr=client, http_user_agent=agent) for client, agent in pairs]
    first, second = (parsed(*lines, reading=Reading(visitor_key=key)) for key in (b"a" * 16, b"b" * 100))
    numbers = first["visitor"].to_list()
    assert len(set(numbers)) == len(set(pairs))
    assert numbers[:6] == numbers[6:]
    assert not set(numbers) & set(second["visitor"])
    assert (
        parsed(line(), reading=Reading())["visitor"].to_list()
        == parsed(as_json(http_user_agent=BROWSERS[0]))["visitor"].to_list()
    )


@pytest.mark.parametrize("quoted", [str, lambda number: number])
def test_json_line_counts_with_numbers_of_either_kind(quoted: object) -> None:
    """nginx can't tell text from numbers unless its user does."""
    assert callable(quoted)
    text = as_json(status=quoted(404), body_bytes_sent=quoted(17), request_time=quoted(0.25), msec=quoted(1.5))
    [row] = parsed(text).rows(named=True)
    assert (row["format"], row["status"], row["bytes"], row["request_time_us"]) == ("json", 404, 17, 250_000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (as_json(), None),
        (as_json(http_referer=None, request=[1]), None),
        (as_json(status="20"), "format"),
        (as_json(body_bytes_sent=1.5), "format"),
        (as_json(time_iso8601=None), "format"),
        (as_json(time_iso8601="2023-05-23 14:21"), "time"),
        (as_json(time_iso8601="10000-01-01T00:00:00Z"), "time"),
        (as_json(time_iso8601="2023-05-23T24:00:00Z"), "time"),
        (as_json(time_iso8601="2023-05-23T14:21:08+00:60"), "time"),
        (as_json(time_iso8601="2023-05-23T14:21:08+0099"), "time"),
        (as_json(time_iso8601="2023-05-23T14:21:08-24:00"), "time"),
        ('{"status":"200"', "format"),
        ('{"status":"200"}', "format"),
    ],
)
def test_json_line_is_judged_like_any_other(text: str, reason: str | None) -> None:
    """A line lacks no time, status, and client or request."""
    assert parsed(text)["reason"].to_list() == [reason]
    assert parsed(text, reading=Reading("combined"))["reason"].to_list() == ["format"]
