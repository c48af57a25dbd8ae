"""What a real nginx writes in the formats handed out is read, with all that visitors sent and nginx measured."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from kpi_app.feeds.access import parse
from kpi_app.feeds.access_fields import tell_apart
from kpi_app.feeds.base import Reading
from kpi_app.feeds.envelope import MAX_LINE_BYTES
from tests.cli.programs import kpi, run, until
from tests.fluent_bit.nginx import LOG_FORMAT, Nginx, nginx

FORMATS = {"kpi": "combined_xff", "kpi_json": "json"}


@pytest.fixture(params=FORMATS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Nginx]:
    """An nginx with each of the formats."""
    with nginx(tmp_path, request.param) as server:
        yield server


def lines(server: Nginx, requests: list[bytes]) -> list[str]:
    """What it writes to its log for these requests; the answer to each came before the next."""
    before = server.lines
    for request in requests:
        server.ask(request)
    until(lambda: server.lines == before + len(requests))
    return [line.decode("utf-8", "replace") for line in server.log.read_bytes().splitlines()[before:]]


def fields(line: str) -> dict[str, Any]:
    """The fields of a line as the feed tells them apart."""
    return tell_apart(pl.DataFrame({"line": [line]})).row(0, named=True)


def parsed(line: str) -> dict[str, Any]:
    """The columns that become of a line."""
    frame = pl.DataFrame({"line": [line], "reason": [None]}, {"line": pl.String, "reason": pl.String})
    return parse(frame, Reading("auto")).row(0, named=True)


ASKS = (
    b"POST /caf%C3%A9/?q=1 HTTP/1.1\r\nHost: shop.example\r\nReferer: https://example.org/a\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"X-Forwarded-For: 198.51.100.9, 203.0.113.4\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


def test_every_field_is_read(server: Nginx) -> None:
    """Method, path, protocol, host, status, size, referrer, agent, X-Forwarded-For, and the time that it took."""
    [line] = lines(server, [ASKS])
    found = fields(line)
    assert found["client"] == "127.0.0.1"
    assert found["request"] == "POST /caf%C3%A9/?q=1 HTTP/1.1"
    assert (found["status"], found["bytes"]) == ("200", str(len("hello\n")))
    assert (found["host"], found["referrer"]) == ("shop.example", "https://example.org/a")
    assert found["agent"].endswith("Firefox/128.0")
    assert found["xff"] == "198.51.100.9, 203.0.113.4"
    assert re.fullmatch(r"[0-9]+\.[0-9]{3}", found["request_time"])
    row = parsed(line)
    assert (row["format"], row["reason"]) == (FORMATS[server.log_format], None)
    assert row["request_time_us"] >= 0
    assert {name: row[f"by_{name}"] for name in ("method", "path", "protocol", "host", "status", "browser", "os")} == {
        "method": "POST",
        "path": "/caf%C3%A9/",
        "protocol": "HTTP/1.1",
        "host": "shop.example",
        "status": "200",
        "browser": "Firefox",
        "os": "Linux",
    }


def test_times_of_several_upstreams_are_read_over(server: Nginx) -> None:
    """The first upstream refuses, the second answers: two times, with a comma, and none of another field is lost."""
    [line] = lines(server, [b"GET /behind/x HTTP/1.0\r\nHost: api.example\r\n\r\n"])
    times = re.search(r'(?:urt=|upstream_response_time":)"([^"]*)"', line)
    assert times
    assert re.fullmatch(r"[0-9.]+, [0-9.]+", times[1])
    assert (fields(line)["host"], parsed(line)["by_path"]) == ("api.example", "/behind/x")
    assert parsed(line)["request_time_us"] is not None


HOSTILE = {
    "quotes": b'" rt=9 host="evil',
    "json": b'","status":"500","x":"',
    "backslash": b"\\\\\\",
    "bytes": b"\x01\x7f\x1b[31m",
    "no UTF-8": b"caf\xe9 \xff\xfe",
    "UTF-8": "日本語".encode(),
    "nothing": b"",
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_visitor_ends_a_field(server: Nginx, value: bytes) -> None:
    """Whatever agent, referrer and X-Forwarded-For hold, the fields around them are nginx's own, and it is one line."""
    request = b"GET /x HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: V\r\nReferer: V\r\nX-Forwarded-For: V\r\n"
    [line] = lines(server, [request.replace(b"V", value) + b"Connection: close\r\n\r\n"])
    row, found = parsed(line), fields(line)
    assert (row["reason"], row["by_status"], row["by_host"], row["by_path"]) == (None, "200", "shop.example", "/x")
    assert float(found["request_time"]) < 9
    assert found["agent"] == found["referrer"] == found["xff"]


def test_what_is_no_request_still_counts(server: Nginx) -> None:
    """TLS on the plain port, and a connection that says nothing that nginx understands."""
    for line in lines(server, [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"what\r\n\r\n"]):
        row = parsed(line)
        assert (row["reason"], row["by_status"], row["by_method"]) == (None, "400", "(none)")


def test_kpi_check_likes_the_log(server: Nginx, tmp_path: Path) -> None:
    """The first thing that one would do with a log of one's own."""
    lines(server, [ASKS, b"\x16\x03\x01\r\n\r\n"])
    done = run(kpi("check", server.log), tmp_path / "check")
    assert (done.code, "rejected" in done.out) == (0, True), done
    assert f"{FORMATS[server.log_format]} " in done.out
    assert "0 rejected" in done.out


def test_the_longest_line_gets_through(server: Nginx) -> None:
    """nginx takes 8 kB a header and 32 kB in all, each byte of which it may have to escape: others read that, too."""
    request = b"GET /%b HTTP/1.0\r\nUser-Agent: V\r\nReferer: V\r\nX-Forwarded-For: V\r\n\r\n" % (b"x" * 8_000)
    request = request.replace(b"V", b"\x01" * 8_000)
    assert len(request) > 32_000
    [line] = lines(server, [request])
    assert parsed(line)["by_status"] == "200"
    assert 100_000 < len(orjson.dumps({"log": line})) < MAX_LINE_BYTES - 1_000  # the rest of the record
    assert server.ask(b"GET / HTTP/1.0\r\nUser-Agent: %b\r\n\r\n" % (b"x" * 9_000)).startswith(b"HTTP/1.1 400")


def test_the_format_needs_nothing_else_of_nginx() -> None:
    """One file to include, with two formats and no other directive."""
    text = re.sub("^ *#.*$", "", LOG_FORMAT.read_text(), flags=re.MULTILINE)
    assert re.findall(r"(?:^|;)\s*(\w+) (\w+)", text) == [("log_format", "kpi"), ("log_format", "kpi_json")]
