"""Events: the live view as a stream of server-sent events."""

import asyncio
from collections.abc import Sequence

from aiohttp import web

from kpi_app.web import query
from kpi_app.web.answers import HEADERS, AskDifferently, error
from kpi_app.web.live import MOST_WINDOWS, Live, view_of

#: A stream says that it lives at least this often: proxies cut off what is silent.
BEAT_S = 15.0

#: A viewer that takes nothing for this long is let go.
UNREAD_S = 20.0

#: nginx in front of us would otherwise wait for more.
_STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}

#: When a browser comes back after its stream has ended, and who found it too crowded may.
RETRY_MS = 2_000
CROWDED_S = 10


class Events:
    """Streams what is live. `sizes_s`: the window sizes that there are, the base first."""

    def __init__(self, live: Live, sizes_s: Sequence[int]) -> None:
        self._live = live
        self._sizes_s = sizes_s

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The latest `range` seconds in windows of `size`, and the books; without both, the books alone."""
        asked = query.only(request, ("size", "range"))
        if ("size" in asked) != ("range" in asked):
            raise AskDifferently("size and range go together")
        view = None
        if asked:
            size_s = query.one_of(asked, "size", self._sizes_s)
            view = view_of(size_s, query.whole(asked, "range", size_s, size_s * MOST_WINDOWS))
        if request.method == "HEAD":
            return web.Response(headers=_STREAM)  # a stream has no end to tell of
        viewer = self._live.join(view)
        if viewer is None:
            return error(503, "too many are looking: try again later", {"Retry-After": str(CROWDED_S)})
        try:
            stream = web.StreamResponse(headers={**HEADERS, **_STREAM})  # sent before `guard` sees the answer
            await stream.prepare(request)
            await stream.write(b"retry: %d\n\n" % RETRY_MS)
            while (message := await viewer.next(BEAT_S)) is not None:
                async with asyncio.timeout(UNREAD_S):
                    await stream.write(message or b": alive\n\n")
        except TimeoutError:
            viewer.deaf = True
        except ConnectionError:
            pass  # it has left
        finally:
            self._live.leave(view, viewer)
            if viewer.deaf and request.transport is not None:
                request.transport.abort()  # closed politely, the socket would stay until what it holds is taken
        return stream
