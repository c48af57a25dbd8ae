"""Reports and top lists as JSON."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from kpi_app.errors import UserError
from kpi_app.report.ask import MOST_TOP, TOP, Wish
from kpi_app.web import query
from kpi_app.web.answers import AskDifferently, json
from kpi_app.web.needs import Reader


class Reports:
    """Answers with what is united from rows. `sizes_s`: the window sizes that there are, the base first."""

    def __init__(self, reader: Reader, sizes_s: Sequence[int], dimensions: Sequence[str]) -> None:
        self._reader = reader
        self._sizes_s = sizes_s
        self._dimensions = dimensions

    async def report(self, request: web.Request) -> web.Response:
        """The KPIs of `[from, to)`, or with `by` the top values of a dimension; a row for each `window` where given.

        Times without a zone, dates among them, are in that of the settings, as the command has it.
        """
        asked = query.only(request, ("from", "to", "window", "by", "top"))
        wish = Wish(
            query.date_or_time(asked, "from"),
            query.date_or_time(asked, "to"),
            asked.get("window"),
            self._dimension(asked["by"]) if "by" in asked else None,
            query.whole(asked, "top", TOP, MOST_TOP),
        )
        try:
            rows = await self._reader.report(wish)
        except UserError as error:
            raise AskDifferently(str(error)) from None
        return json({**wish._asdict(), "rows": rows})

    async def top(self, request: web.Request) -> web.Response:
        """The values of a `dimension` in the window of `size` that starts at `window_start`, the heaviest first."""
        asked = query.only(request, ("dimension", "window_start", "size"))
        dimension = self._dimension(asked.get("dimension"))
        start = query.time(asked, "window_start")
        if start is None:
            raise AskDifferently("window_start is missing, such as 2026-01-31T08:00:00Z")
        size_s = query.one_of(asked, "size", self._sizes_s)
        rows: Sequence[Any] = await self._reader.top(size_s, start, dimension)
        return json({"dimension": dimension, "window_start": start, "size": size_s, "values": rows})

    def _dimension(self, name: str | None) -> str:
        if name is None or name not in self._dimensions:
            raise AskDifferently(f"the dimension is not one of: {', '.join(self._dimensions)}")
        return name
