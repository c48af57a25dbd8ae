"""The page and its files: read once, packed once, and the only documents among all answers."""

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import PurePath
from typing import Any, NamedTuple

from aiohttp import web

import kpi_app
from kpi_app.web.answers import NotHere, json

#: What the page may do in a browser: run and load what is here, ask the worker, nothing else. Nothing inline, and with
#: Trusted Types no way from a text to markup. The one place where this is said.
CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

#: The document that loads the others.
_INDEX = "index.html"


class Asset(NamedTuple):
    """One file, as it is sent."""

    plain: bytes
    packed: bytes
    content_type: str
    tag: str


class Page:
    """Answers with the page, its files, and what it has to know of this installation."""

    def __init__(self, topic: str, zone: str, sizes_s: Sequence[int], dimensions: Sequence[str]) -> None:
        self._assets = load()
        self._site: dict[str, Any] = {
            "version": kpi_app.__version__,
            "topic": topic,
            "zone": zone,
            "sizes": list(sizes_s),
            "dimensions": list(dimensions),
        }

    async def page(self, request: web.Request) -> web.Response:
        """The document."""
        return _sent(request, self._assets[_INDEX])

    async def asset(self, request: web.Request) -> web.Response:
        """A file of it."""
        found = self._assets.get(request.match_info["name"])
        if found is None:
            raise NotHere("the page has no such file")
        return _sent(request, found)

    async def site(self, _: web.Request) -> web.Response:
        """The topic, the time zone, the window sizes and the dimensions that there are."""
        return json(self._site)


def load() -> Mapping[str, Asset]:
    """The files of `assets/` by name."""
    files = (file for file in resources.files(__package__).joinpath("assets").iterdir() if file.is_file())
    return {file.name: _asset(file.name, file.read_bytes()) for file in files if PurePath(file.name).suffix in _TYPES}


def _asset(name: str, plain: bytes) -> Asset:
    tag = f'"{hashlib.sha256(plain).hexdigest()[:20]}"'
    return Asset(plain, gzip.compress(plain, mtime=0), _TYPES[PurePath(name).suffix], tag)


def _sent(request: web.Request, asset: Asset) -> web.Response:
    headers = {
        "Content-Security-Policy": CSP,
        "Cache-Control": "private, no-cache",  # kept, but asked for: it changes with the worker
        "ETag": asset.tag,
        "Vary": "Accept-Encoding",
    }
    if request.headers.get("If-None-Match") == asset.tag:
        return web.Response(status=304, headers=headers)
    packs = "gzip" in request.headers.get("Accept-Encoding", "")
    if packs:
        headers["Content-Encoding"] = "gzip"
    return web.Response(
        body=asset.packed if packs else asset.plain, headers=headers, content_type=asset.content_type, charset="utf-8"
    )
