"""Commands that look at what was counted: `kpi report`, `kpi top`."""

from enum import StrEnum
from typing import Annotated

import typer

from kpi_app.cli.consoles import err, out
from kpi_app.demo import ending


class Form(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def report(
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Date or time, ISO 8601.", show_default=False)
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Date or time; not in the span.", show_default=False)
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="DIMENSION", help="List its values, such as path.", show_default=False)
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", help="So many values.", min=1, max=1_000)] = 10,
    window: Annotated[
        str | None, typer.Option(metavar="LENGTH", help="A row for each 1h, 1d, …", show_default=False)
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="How to print it.")] = Form.TABLE,
) -> None:
    """Print the KPIs of any span of time.

    Visitors and percentiles are those of the whole span, united, never summed or averaged. Without times it is all that
    is stored; times without a zone are in KPI_TIMEZONE.

    Example: kpi report --from 2026-01-30 --to 2026-02-01 --by path --top 20
    """
    from kpi_app.demo.progress import bar
    from kpi_app.report.ask import Wish
    from kpi_app.report.command import rows_of, show
    from kpi_app.settings import load

    in_force = load()

    async def run() -> None:
        with bar(err, "uniting") as uniting:
            report = await rows_of(
                in_force,
                Wish(start, end, window, by, top),
                lambda done_s, total_s, windows: uniting.show(done_s, total_s, f"{windows:,} windows"),
            )
        show(report, in_force, form, out)
        if report.note:
            err.print(report.note, soft_wrap=True)

    ending.run(run())


def top(
    by: Annotated[str, typer.Option(metavar="DIMENSION", help="Whose values are listed.")] = "path",
    range_: Annotated[str, typer.Option("--range", metavar="LENGTH", help="How far it looks back.")] = "1h",
    window: Annotated[
        str | None, typer.Option(metavar="LENGTH", help="Size of a window; the smallest that fits.", show_default=False)
    ] = None,
    every: Annotated[str, typer.Option(metavar="TIME", help="How often it looks.")] = "2s",
    once: Annotated[bool, typer.Option("--once", help="Print it once and end, as in a pipe.")] = False,
) -> None:
    """Watch the KPIs in the terminal, live.

    Load, status classes, visitors, request times, the top values, and the books, read as the live page reads them: from
    Postgres, and from Kafka how far behind they are. q or Ctrl-C ends it.

    Example: kpi top --by status --range 6h
    """
    from kpi_app.settings import load
    from kpi_app.top.command import Options
    from kpi_app.top.command import top as watch

    ending.run(watch(load(), Options(by, range_, window, every, once), out))
