"""Answers: JSON, the headers that every answer carries, and errors that tell a client what to do and nothing else."""

import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from kpi_app.errors import SinkBusy, SinkRefused
from kpi_app.web.door import OPEN, Door

log = logging.getLogger("kpi_app.web")

#: A page answers a request, or raises one of the errors that `guard` knows.
Page = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Carried by every answer that does not say otherwise itself. Nothing here is a document: no browser has
#: anything to load or to run, to keep, or to guess a type for.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # to those that do not know frame-ancestors
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "kpi_app",  # not the versions of what it is made of
}

#: When a client may ask again after the sink was busy.
RETRY_AFTER_S = 5

_JSON = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY  # measures are arrays


class AskDifferently(Exception):
    """The question can't be answered as it was put; the text says how to put it."""


class NotHere(Exception):
    """There is no such thing, or not on this worker."""


class Crowded(Exception):
    """Too many are asking: the client may ask again later. Postgres has no part in it."""


def json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer in JSON: times in ISO 8601 with `Z`, numbers as numbers."""
    return web.Response(
        body=orjson.dumps(body, option=_JSON),
        status=status,
        headers=headers,
        content_type="application/json",
        charset="utf-8",
    )


def guard(bound_to: Callable[[], str], door: Door) -> Middleware:
    """Wrap every answer: security headers, and JSON for every error. `bound_to()` is the address we listen on."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_loopback(bound_to()) and not _asks_for_loopback(request):
            answer: web.StreamResponse = error(
                421, "this worker listens on loopback only: ask for it as localhost or 127.0.0.1"
            )
        elif not door.locked or door.opens(request.headers.get("Authorization", "")):
            answer = await _answer(request, handler)
        elif _pattern(request) in OPEN:
            answer = _status_of(await _answer(request, handler))
        else:
            answer = error(401, "who are you?", {"WWW-Authenticate": door.challenge})
        return protect(answer)

    return guarded


def protect(answer: web.StreamResponse) -> web.StreamResponse:
    """The answer with the headers that every one carries."""
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except AskDifferently as wrong:
        return error(400, str(wrong))
    except NotHere as missing:
        return error(404, str(missing))
    except Crowded as crowded:
        return error(503, str(crowded), {"Retry-After": str(RETRY_AFTER_S)})
    except SinkBusy as busy:
        log.warning("page: %s", busy)
        return error(503, "Postgres can't be reached now", {"Retry-After": str(RETRY_AFTER_S)})
    except SinkRefused as refused:
        log.warning("page: %s", refused)
        return error(503, "Postgres refuses to answer; the worker's log says why")
    except web.HTTPException as stock:  # of aiohttp: no such path, no such method
        allow = {"Allow": stock.headers["Allow"]} if "Allow" in stock.headers else None
        return error(stock.status, stock.reason, allow)
    except Exception:
        log.exception("page %s failed", _pattern(request))
        return error(500, "this went wrong here; the worker's log says why")


def _pattern(request: web.Request) -> str:
    """The path's pattern, not the path: that is the client's to write, and logs are read in terminals."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else "?"


def _status_of(answer: web.StreamResponse) -> web.Response:
    """The answer for strangers: its reasons may name where Postgres is."""
    return json({"ok": answer.status == 200}, answer.status)


def error(status: int, reason: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error as every page words it."""
    return json({"error": reason}, status, headers)


def is_loopback(host: str) -> bool:
    """Whether the address, or the name, is this machine's own."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _asks_for_loopback(request: web.Request) -> bool:
    """Whether the client means us: a web site that points its own name at 127.0.0.1 must read nothing here."""
    host = request.headers.get("Host")
    if host is None:
        return True  # no browser
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
