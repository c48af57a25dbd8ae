"""Probes: is the worker alive, is it ready, and its metrics."""

import asyncio

from aiohttp import web

from kpi_app.errors import SinkBusy, SinkRefused
from kpi_app.stream.metrics import Metrics
from kpi_app.web.answers import json
from kpi_app.web.needs import Owned, Reader

#: How long `/readyz` waits for Postgres.
PING_S = 2.0


class Probes:
    """Answers those who watch over the worker."""

    def __init__(self, owned: Owned, reader: Reader, metrics: Metrics) -> None:
        self._owned = owned
        self._reader = reader
        self._metrics = metrics
        self._ping: asyncio.Task[None] | None = None

    async def livez(self, _: web.Request) -> web.Response:
        """The worker's own loop answers: it is the one that folds."""
        return json({"alive": True})

    async def readyz(self, _: web.Request) -> web.Response:
        """200 when the worker does its part; otherwise 503, and what is missing."""
        missing = self._missing_progress() | self._missing_partitions() | await self._missing_postgres()
        taken_over = sorted(self._owned.partitions)
        return json(
            {"ready": not missing, "missing": missing, "partitions": taken_over}, status=503 if missing else 200
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """The metrics, as Prometheus reads them."""
        body, content_type = self._metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _missing_progress(self) -> dict[str, str]:
        return {"progress": self._owned.stalled} if self._owned.stalled else {}

    def _missing_partitions(self) -> dict[str, str]:
        assigned = self._owned.assigned
        if assigned is None:
            return {"assigned": "the group has not given us our partitions yet"}
        waiting = sorted(assigned - self._owned.partitions.keys())
        return {"taken_over": f"the state of partitions {waiting} is being loaded"} if waiting else {}

    async def _missing_postgres(self) -> dict[str, str]:
        """Wait for one ping that all who ask share: giving up on it might have to wait for Postgres itself."""
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(self._reader.ping())
            self._ping.add_done_callback(_heard)
        ping = self._ping
        await asyncio.wait({ping}, timeout=PING_S)
        if not ping.done():
            return {"postgres": f"no answer within {PING_S:g} s"}
        try:
            ping.result()
        except (SinkBusy, SinkRefused) as error:
            return {"postgres": str(error)}
        return {}


def _heard(ping: asyncio.Task[None]) -> None:
    """Take note of how a ping ended when all who asked have left; asyncio would complain that nobody did."""
    if not ping.cancelled():
        ping.exception()
