"""Malformed requests: bytes that are no HTTP never get to a page, nor to the headers that every answer carries.

aiohttp answers them itself. It would tell its version, repeat what was sent, and log a traceback for each.
"""

from aiohttp import web, web_protocol
from aiohttp.http_exceptions import HttpProcessingError

from kpi_app.web.answers import error, protect

_theirs = web_protocol.RequestHandler.handle_error


def _ours(
    self: web_protocol.RequestHandler,
    request: web.BaseRequest,
    status: int = 500,
    exc: BaseException | None = None,
    message: str | None = None,
) -> web.StreamResponse:
    if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
        return _theirs(self, request, status, exc, message)
    answer = protect(error(status, "this is not HTTP as we speak it"))
    answer.force_close()
    return answer


def answer_malformed() -> None:
    """Answer them as we answer everything, in all servers of this process: aiohttp has no setting for it."""
    web_protocol.RequestHandler.handle_error = _ours  # type: ignore[method-assign]
