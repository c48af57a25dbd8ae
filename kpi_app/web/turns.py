"""Turns: who asks Postgres is answered one after the other, which leaves a connection for what is live."""

import asyncio
from types import TracebackType

from aiohttp import web

from kpi_app.web.answers import Crowded, Page

#: Those who may wait for theirs, the one who has it included.
MOST_WAITING = 16


class Turns:
    """`async with` waits for a turn. Raises `Crowded` where too many do."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def __aenter__(self) -> None:
        if self._waiting >= MOST_WAITING:
            raise Crowded("too many are asking: try again later")
        self._waiting += 1
        try:
            await self._turn.acquire()
        except BaseException:
            self._waiting -= 1
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turn.release()
        self._waiting -= 1

    def of(self, page: Page) -> Page:
        """The page, answered in turn."""

        async def waited(request: web.Request) -> web.StreamResponse:
            async with self:
                return await page(request)

        return waited
