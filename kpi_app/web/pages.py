"""Which page is at which path, registered with the faust app: its web server serves them, there is no second one."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from aiohttp import web

import kpi_app
from kpi_app.feeds.base import Feed
from kpi_app.report.unite import dimensions
from kpi_app.stream.bend import close_idle
from kpi_app.stream.metrics import Metrics
from kpi_app.web.answers import Page, guard, json
from kpi_app.web.door import Door
from kpi_app.web.events import Events
from kpi_app.web.live import Live
from kpi_app.web.malformed import answer_malformed
from kpi_app.web.needs import Group, Owned, Reader
from kpi_app.web.overviews import Overviews
from kpi_app.web.page import Page as LivePage
from kpi_app.web.probes import Probes
from kpi_app.web.reports import Reports
from kpi_app.web.rows import Rows
from kpi_app.web.segments import Segments
from kpi_app.web.tables import Described, Tables
from kpi_app.web.turns import Turns


class Shown(NamedTuple):
    """What the pages are of."""

    feed: Feed
    topic: str
    #: The window sizes in force, the base first.
    sizes_s: Sequence[int]
    #: Name of the time zone that people read times in.
    zone: str
    #: Pace of what is live, seconds.
    every_s: float


#: What the faust app is to be made with: none of faust's own pages, whatever the environment says.
OPTIONS: dict[str, Any] = {
    "web_tables_enabled": False,  # ours are on its paths
    "web_router_enabled": False,  # it routes by the hash of a key, and lets clients have requests forwarded
    "web_stats_enabled": False,
    "web_graph_enabled": False,
    "web_metrics_enabled": False,
    "web_in_thread": False,  # /livez is to answer for the loop that folds
}


def register(
    app: Any,
    owned: Owned,
    group: Group,
    reader: Reader,
    metrics: Metrics,
    shown: Shown,
    door: Door | None = None,
) -> None:
    """Add the pages to a faust app made with `OPTIONS`, before it starts.

    `door`: who is let in; without one, everybody. The reader is closed with the web server.
    """

    def listed() -> list[Described]:
        return [Described(table.name, table.help) for table in app.tables.values()]

    feed, sizes_s, turns = shown.feed, shown.sizes_s, Turns()
    probes = Probes(owned, reader, metrics)
    tables = Tables(owned, feed.measures, listed)
    reports = Reports(reader, sizes_s, dimensions(feed))
    rows, overview = turns.of(Rows(reader, sizes_s).windows), turns.of(Overviews(reader).overview)
    report, top = turns.of(reports.report), turns.of(reports.top)
    live = Live(reader, group, sizes_s[0], shown.every_s)
    segments = Segments(owned, group, reader, turns)
    page = LivePage(shown.topic, shown.zone, sizes_s, dimensions(feed))
    pages: list[tuple[str, str, Page]] = [
        ("/", "all of it, live, for people", page.page),
        ("/assets/{name}", "the files of that page", page.asset),
        ("/livez", "200 while the worker's loop answers", probes.livez),
        ("/readyz", "200 when it has its partitions and Postgres, otherwise 503 and what is missing", probes.readyz),
        ("/metrics", "metrics for Prometheus", probes.metrics),
        ("/kpi/windows", "rows: ?size=60&from=2026-01-31T08:00:00Z&to=…&limit=…", rows),
        ("/kpi/report", "any span: ?from=…&to=…&window=1h&by=path&top=10", report),
        ("/kpi/overview", "any span with all of its top lists: ?from=…&to=…", overview),
        ("/kpi/top", "a window's values: ?dimension=path&window_start=2026-01-31T08:00:00Z&size=60", top),
        ("/kpi/events", "what is new, as server-sent events: ?size=60&range=21600", Events(live, sizes_s).events),
        ("/kpi/segments", "what is held of a partition, on any worker: ?partition=3&limit=…", segments.segments),
        ("/kpi/site", "what there is: topic, time zone, window sizes, dimensions", page.site),
        ("/table/", "the tables", tables.tables),
        ("/table/{name}/", "what this worker holds of a table", tables.table),
        ("/table/{name}/{key:.+}/", "one key of it", tables.key),
    ]
    index = {path.replace(":.+", ""): meaning for path, meaning, _ in pages}

    async def list_pages(_: web.Request) -> web.Response:
        return json({"name": "kpi_app", "version": kpi_app.__version__, "pages": index})

    for path, _, answer in [("/kpi/", "", list_pages), *pages]:  # "/" is ours: faust adds its own last
        app.page(path, name=path)(_view(answer))
    answer_malformed()
    close_idle(app)
    served = app.web.web_app
    served.middlewares.append(guard(lambda: str(app.conf.web_bind), door or Door()))

    async def hang_up(_: web.Application) -> None:
        await live.close()  # a server that stops waits for its answers, and streams never end

    async def close(_: web.Application) -> None:
        await segments.close()
        await reader.close()

    served.on_shutdown.append(hang_up)
    served.on_cleanup.append(close)


def _view(page: Page) -> Callable[..., Coroutine[Any, Any, web.StreamResponse]]:
    """A page as faust calls it: with its view, and with the parts of the path once more."""

    async def view(_: object, request: web.Request, **__: str) -> web.StreamResponse:
        return await page(request)

    return view
