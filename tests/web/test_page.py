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


def test_no_text_is_left_over() -> None:
    """Each is used: by its name, by an attribute of the document, or in a list of names."""
    files = {name: asset.plain.decode() for name, asset in load().items()}
    english = files.pop("texts.js").split("const es")[0]
    keys = set(re.findall(r"^  (\w+):", english, re.M))
    rest = "\n".join(files.values())
    used = set(re.findall(r"texts\.(\w+)|data-(?:text|label)=\"(\w+)\"", rest))
    lists = re.findall(r"const (?:THEMES|heads) = \[(.*?)\]", rest.replace("export ", ""))
    names = {name for pair in used for name in pair if name} | set(re.findall(r"\w+", " ".join(lists)))
    assert len(keys) > 60
    assert keys - names == set()


def luminance(colour: str) -> float:
    """As https://www.w3.org/TR/WCAG22/#dfn-relative-luminance has it."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1, 2])
def test_what_is_drawn_can_be_told_from_its_ground(theme: int) -> None:
    """3:1 at least, as WCAG 2.2 asks for graphics and for the edges of controls (1.4.11)."""
    block = re.findall(r"color-scheme: \w+;(.*?)\}", load()["page.css"].plain.decode(), re.S)[theme]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))
    card = luminance(colours["card"])
    for name in ("c2", "c3", "c4", "c5", "co", "ca", "cb", "cd", "ce", "control", "focus", "accent"):
        low, high = sorted((card, luminance(colours[name])))
        assert (high + 0.05) / (low + 0.05) >= 3, name
