"""Overviews: the figures and the top lists of any span, shared by all who ask for the same."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from time import monotonic
from typing import Any

from aiohttp import web

from kpi_app.errors import UserError
from kpi_app.web import query
from kpi_app.web.answers import AskDifferently, json
from kpi_app.web.needs import Reader

#: How long an overview is given to all who ask for the same, and how many are kept.
KEPT_S = 10.0
KEPT = 64


class Overviews:
    """Answers with an overview of a span. Asked in turn, or the same would be made twice."""

    def __init__(self, reader: Reader, clock_s: Callable[[], float] = monotonic) -> None:
        self._reader = reader
        self._clock_s = clock_s
        self._kept: OrderedDict[tuple[datetime, datetime], tuple[float, Mapping[str, Any] | None]] = OrderedDict()

    async def overview(self, request: web.Request) -> web.Response:
        """The row of `[from, to)` and the `tops` of every dimension; null where no line is in it."""
        asked = query.only(request, ("from", "to"))
        start, end = query.time(asked, "from"), query.time(asked, "to")
        if start is None or end is None:
            raise AskDifferently("from and to are missing, such as from=2026-01-31T08:00:00Z")
        try:
            return json({"from": start, "to": end, "overview": await self._get(start, end)})
        except UserError as error:
            raise AskDifferently(str(error)) from None

    async def _get(self, start: datetime, end: datetime) -> Mapping[str, Any] | None:
        found = self._kept.get((start, end))
        if found is None or self._clock_s() - found[0] >= KEPT_S:
            found = (self._clock_s(), await self._reader.overview(start, end))
            self._kept[start, end] = found
            self._kept.move_to_end((start, end))
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found[1]
