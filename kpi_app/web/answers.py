"""Answers: JSON, the headers that every answer carries, and errors that tell a client what to do and nothing else."""

import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from kpi_app.errors import SinkBusy, SinkRefused

log = logging.getLogger("kpi_app.web")

#: A page answers a request, or raises one of the errors that `guard` knows.
Page = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Carried by every answer that does not say otherwise itself. Nothing here is a document: no browser has
#: anything to load or to run, to keep, or to guess a type for.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "kpi_app",  # not the versions of what it is made of
}

#: When a client may ask again after the sink was busy.
RETRY_AFTER_S = 5

_JSON = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


class AskDifferently(Exception):
    """The question can't be answered as it was put; the text says how to put it."""


class NotHere(Exception):
    """There is no such thing, or not on this worker."""


def json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer in JSON: times in ISO 8601 with `Z`, numbers as numbers."""
    return web.Response(
        body=orjson.dumps(body, option=_JSON),
        status=status,
        headers=headers,
        content_type="application/json",
        charset="utf-8",
    )


def guard(bound_to: Callable[[], str]) -> Middleware:
    """Wrap every answer: security headers, and JSON for every error. `bound_to()` is the address we listen on."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _is_loopback(bound_to()) and not _asks_for_loopback(request):
            answer: web.StreamResponse = error(
                421, "this worker listens on loopback only: ask for it as localhost or 127.0.0.1"
            )
        else:
            answer = await _answer(request, handler)
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    return guarded


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except AskDifferently as wrong:
        return error(400, str(wrong))
    except NotHere as missing:
        return error(404, str(missing))
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
        # The path's pattern, not the path: that is the client's to write, and logs are read in terminals.
        resource = request.match_info.route.resource
        log.exception("page %s failed", resource.canonical if resource else "?")
        return error(500, "this went wrong here; the worker's log says why")


def error(status: int, reason: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error as every page words it."""
    return json({"error": reason}, status, headers)


def _is_loopback(host: str) -> bool:
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
        return _is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
