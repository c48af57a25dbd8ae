"""The page's files: how they are sent, and what is not in them."""

import gzip
import re

import pytest

from kpi_app.web.page import CSP, load
from tests.web.conftest import Site

#: All that a first visit loads.
FILES = sorted(load())


async def test_the_page_has_a_policy_of_its_own(site: Site) -> None:
    """It may run what is here and ask the worker, nothing inline and nothing elsewhere."""
    answer = await site.get("/")
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert answer.headers["Content-Security-Policy"] == CSP
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "unsafe" not in CSP
    assert "http" not in CSP
    assert "*" not in CSP


@pytest.mark.parametrize("name", [name for name in FILES if name != "index.html"])
async def test_a_file_is_sent_packed_and_once(site: Site, name: str) -> None:
    """With gzip where it is understood; and only when it has changed."""
    answer = await site.client.get(f"/assets/{name}", headers={"Accept-Encoding": "gzip"}, auto_decompress=False)
    assert answer.status == 200
    assert answer.content_type != "application/octet-stream"
    plain = await site.get(f"/assets/{name}", headers={"Accept-Encoding": "identity"})
    assert gzip.decompress(await answer.read()) == await plain.read()
    again = await site.get(f"/assets/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpage.py", "%2e%2e/page.py", "__init__.py", ".", "index.html%00"])
async def test_nothing_else_is_sent(site: Site, name: str) -> None:
    """Only the files that there are."""
    assert (await site.get(f"/assets/{name}")).status in (404, 405)


def test_all_of_it_is_under_200_kilobytes() -> None:
    """Packed, as a browser gets it."""
    assert sum(len(asset.packed) for asset in load().values()) < 200_000


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_site(name: str) -> None:
    """Nothing is loaded from the network. The one address is the name of a language, SVG."""
    text = load()[name].plain.decode()
    assert set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text)) <= {"http://www.w3.org"}


@pytest.mark.parametrize("name", FILES)
def test_no_file_makes_markup_of_text(name: str) -> None:
    """Text nodes only; the browser refuses the rest, too."""
    text = load()[name].plain.decode()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|DOMParser", text)
    assert not re.search(r"<script(?![^>]*src=)|\sstyle=|\son\w+=\"", text)


@pytest.mark.parametrize("name", FILES)
def test_a_file_fits_in_the_head(name: str) -> None:
    """As a module does."""
    assert len(load()[name].plain.decode().splitlines()) <= 300


async def test_the_site_says_what_there_is(site: Site) -> None:
    """Window sizes, dimensions, and the time zone."""
    told = await site.json("/kpi/site")
    assert (told["topic"], told["zone"], told["sizes"]) == ("access-log", "UTC", [60, 3_600])
    assert "path" in told["dimensions"]
