"""Every answer: its headers, its errors, and what a hostile client gets."""

import asyncio
from urllib.parse import quote

import pytest
from yarl import URL

from kpi_app.errors import SinkBusy, SinkRefused
from tests.web.conftest import Site
from tests.web.worker import Partition, line

PAGES = [
    "/kpi/",
    "/livez",
    "/readyz",
    "/metrics",
    "/kpi/windows",
    "/kpi/site",
    "/kpi/segments?partition=0",
    "/kpi/overview?from=2026-01-31T08:00:00Z&to=2026-01-31T09:00:00Z",
    "/table/",
    "/table/segments/",
    "/table/segments/meta/",
    "/nothing-here",
]

HOSTILE = [
    "<script>alert(1)</script>",
    "'; DROP TABLE access_kpi; --",
    "\x1b[2J\x00\r\nSet-Cookie: a=b",
    "％s{0.__class__}${7*7}",
    "9" * 5_000,
    "‮‏\U0001f4a3",
]


@pytest.mark.parametrize("path", PAGES)
async def test_every_answer_carries_the_security_headers(site: Site, path: str) -> None:
    """Errors, too: nothing is kept, sniffed, framed, or loaded by a browser, and no versions are told."""
    headers = (await site.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Server"] == "kpi_app"
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("path", PAGES)
async def test_no_other_answer_is_html(site: Site, path: str) -> None:
    """A browser that is told to show HTML gets JSON or plain text all the same."""
    answer = await site.get(path, headers={"Accept": "text/html"})
    assert answer.content_type == ("text/plain" if path == "/metrics" else "application/json")


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["size", "from", "to", "limit", "<b>"])
async def test_hostile_parameters_are_inert(site: Site, name: str, value: str) -> None:
    """They are refused in a line of ASCII, and never reach the reader."""
    answer = await site.get("/kpi/windows", params={name: value})
    assert answer.status == 400
    assert answer.content_type == "application/json"
    assert "Set-Cookie" not in answer.headers
    [(key, reason)] = (await answer.json()).items()
    assert key == "error"
    assert reason.isascii()
    assert reason.isprintable()
    assert len(reason) < 500
    assert site.reader.asked == []


@pytest.mark.parametrize("value", [*HOSTILE, "../../etc/passwd", "%ff%fe", "1/2/3", "meta\x00"])
async def test_hostile_keys_are_not_found(site: Site, value: str) -> None:
    """Any bytes in a path are a key that is not there."""
    site.owned.partitions[0] = Partition().read(line(0)).checkpoint()
    answer = await site.get(URL(f"/table/segments/{quote(value, safe='%')}/", encoded=True))
    assert answer.status == 404
    assert value not in await answer.text()


async def test_undecodable_keys_are_not_found(site: Site) -> None:
    """Bytes that are no UTF-8 name nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.client.port)
    writer.write(b"GET /table/segments/%ff%fe/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: <script>\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",  # TLS
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"<script>" * 4_000 + b"\r\n\r\n",
        b"<script> / HTTP/1.1\r\n\r\n",
    ],
    ids=["length", "TLS", "long", "method"],
)
async def test_what_is_no_request_is_answered_like_one(
    site: Site, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """With the headers, without a word of what was sent or of versions, and without a page in the log each time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.client.port)
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert b"X-Content-Type-Options: nosniff" in head
    assert b"Server: kpi_app" in head
    assert body == b'{"error":"this is not HTTP as we speak it"}\n'
    assert caplog.records == []


async def test_a_bug_tells_clients_nothing_but_that_it_is_one(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """No traceback and no message leave the process; both are in the log, without the client's words."""
    site.reader.error = RuntimeError("password=hunter2")
    answer = await site.get("/kpi/windows", params={"from": "2023-11-14T00:00:00Z"})
    assert answer.status == 500
    assert await answer.json() == {"error": "this went wrong here; the worker's log says why"}
    [record] = caplog.records
    assert record.getMessage() == "page /kpi/windows failed"
    assert record.exc_info is not None


@pytest.mark.parametrize("error", [SinkBusy("10.0.0.7 is away"), SinkRefused("10.0.0.7: tables are missing")])
async def test_without_postgres_rows_are_unavailable(site: Site, error: Exception) -> None:
    """503, so that a client asks again, without a word on where Postgres is."""
    site.reader.error = error
    answer = await site.get("/kpi/windows")
    assert answer.status == 503
    assert "10.0.0.7" not in await answer.text()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_pages_can_only_be_read(site: Site, method: str) -> None:
    """Any other method is refused, naming those that there are."""
    answer = await site.client.request(method, "/table/segments/")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET,HEAD"
    assert await answer.json() == {"error": "Method Not Allowed"}


@pytest.mark.parametrize("host", ["localhost", "localhost:6066", "kpi.localhost", "127.0.0.1:1", "[::1]:6066"])
async def test_on_loopback_its_names_are_answered(site: Site, host: str) -> None:
    """Whatever name of this machine's own is used."""
    assert (await site.get("/livez", headers={"Host": host})).status == 200


@pytest.mark.parametrize("host", ["rebound.example", "192.0.2.7:6066", "127.0.0.1.example", "[", ""])
async def test_on_loopback_other_names_are_refused(site: Site, host: str) -> None:
    """A web site whose name is pointed at 127.0.0.1 can't read pages with its visitor's browser."""
    answer = await site.get("/kpi/windows", headers={"Host": host})
    assert answer.status == 421
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_elsewhere_any_name_is_answered(site: Site) -> None:
    """Bound to more than loopback, the worker may be known by any name."""
    site.app.conf.web_bind = "0.0.0.0"  # noqa: S104  the setting is what is tested
    assert (await site.get("/livez", headers={"Host": "worker-1.example"})).status == 200


@pytest.mark.parametrize(
    "path", ["/router/", "/router/segments/1/", "/stats/", "/graph/", "/assignment/", "/performance/"]
)
async def test_pages_of_fausts_own_are_off(site: Site, path: str) -> None:
    """Its router forwards requests for anyone, and the rest is not for users."""
    assert (await site.get(path)).status == 404


async def test_the_index_lists_every_page(site: Site) -> None:
    """`/kpi/` says where everything is, and it is there."""
    pages = (await site.json("/kpi/"))["pages"]
    assert set(pages) >= {"/livez", "/readyz", "/metrics", "/kpi/windows", "/table/"}
    for path in pages:
        if path == "/kpi/events":  # it has no end
            continue
        path = path.replace("/assets/{name}", "/assets/main.js").replace("{name}", "segments").replace("{key}", "meta")
        if path == "/kpi/top":  # it can't be asked without a window
            path += "?dimension=path&window_start=2026-01-31T08:00:00Z"
        if path == "/kpi/overview":
            path += "?from=2026-01-31T08:00:00Z&to=2026-01-31T09:00:00Z"
        if path == "/kpi/segments":
            path += "?partition=0"
        site.owned.partitions[0] = Partition()
        assert (await site.get(path)).status == 200, path
