"""Rows: whole windows as JSON."""

from collections.abc import Sequence

from aiohttp import web

from kpi_app.web import query
from kpi_app.web.answers import json
from kpi_app.web.needs import Reader

#: Rows that one answer may hold, and that it holds unless told otherwise.
MOST_ROWS = 10_000
ROWS = 1_000


class Rows:
    """Answers with rows of the feed. `sizes_s`: the window sizes that there are, the base first."""

    def __init__(self, reader: Reader, sizes_s: Sequence[int]) -> None:
        self._reader = reader
        self._sizes_s = sizes_s

    async def windows(self, request: web.Request) -> web.Response:
        """Windows of one size that start in `[from, to)`: the latest `limit` of them, oldest first.

        `more`: there are older ones in that span; ask for them with `to` = the first row's `window_start`.
        """
        asked = query.only(request, ("size", "from", "to", "limit"))
        size_s = query.one_of(asked, "size", self._sizes_s)
        start, end = query.time(asked, "from"), query.time(asked, "to")
        limit = query.whole(asked, "limit", ROWS, MOST_ROWS)
        rows = await self._reader.windows(size_s, start, end, limit + 1)
        return json(
            {
                "size": size_s,
                "from": start,
                "to": end,
                "limit": limit,
                "more": len(rows) > limit,
                "windows": rows[-limit:],
            }
        )
