"""`kpi report`: asks Postgres, prints."""

from collections.abc import Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rich.console import Console

from kpi_app.errors import SinkBusy, SinkRefused, UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.report import render
from kpi_app.report.ask import Wish, resolve, time
from kpi_app.report.render import Rows
from kpi_app.report.unite import Asked, OnWindows, check_dimension, columns
from kpi_app.report.unite import report as unite
from kpi_app.settings import Settings
from kpi_app.sinks.connect import Database, Limits
from kpi_app.sinks.read import held_spans

_NO_LINES = "no lines were counted in that span"

#: What nginx's log_format lacks where a dimension has no values.
_FIELDS = {
    "host": "add host=$host to nginx's log_format",
    **dict.fromkeys(("referrer", "browser", "os", "device", "bot"), "log them in the format combined"),
}


class Report(NamedTuple):
    """What is printed."""

    rows: Rows
    #: The names of the rows' columns, also of no rows.
    columns: Sequence[str]
    #: Why there are no rows, for people.
    empty: str
    #: What is said about it, if anything.
    note: str | None


async def rows_of(settings: Settings, wish: Wish, told: OnWindows) -> Report:
    """Read a report. `told` hears how far it is. Raises `UserError`."""
    check_dimension(ACCESS, wish.by)
    zone = ZoneInfo(settings.timezone)
    try:
        async with Database(settings.database_url.get_secret_value(), Limits(command_s=None)) as database:
            asked, sizes_s = await resolve(wish, database, ACCESS, settings.base_window_s, zone)
            rows = await unite(database, ACCESS, sizes_s, asked, told=told)
            empty = "" if rows else await _why_empty(database, sizes_s, asked)
    except (SinkBusy, SinkRefused) as error:
        raise UserError(str(error)) from error
    return Report(rows, columns(ACCESS, wish.by), empty, _widened(rows, wish, zone))


def show(report: Report, settings: Settings, form: str, out: Console) -> None:
    """Print a report as `table`, `csv` or `json`."""
    if form == "csv":
        out.file.write(render.as_csv(report.rows, report.columns))
    elif form == "json":
        out.file.write(render.as_json(report.rows) + "\n")
    elif not report.rows:
        out.print(report.empty)
    else:
        _print_table(report.rows, settings, out)


def _print_table(rows: Rows, settings: Settings, out: Console) -> None:
    table = render.as_table(rows, ZoneInfo(settings.timezone), out.width)
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    out.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


async def _why_empty(database: Database, sizes_s: Sequence[int], asked: Asked) -> str:
    async with database.session() as session:
        if asked.by is None or not await held_spans(session, ACCESS, sizes_s[:1], asked.spans):
            return _NO_LINES
    remedy = _FIELDS.get(asked.by, "see `kpi check` for what they hold")
    return f"the lines of that span have no {asked.by}: {remedy}"


def _widened(rows: Rows, wish: Wish, zone: ZoneInfo) -> str | None:
    """Whole windows are what there is: where a row goes beyond the times that were asked for, it says so."""
    if not rows:
        return None
    first, last = rows[0]["from"], rows[-1]["to"]
    if (wish.start and first < time(wish.start, zone)) or (wish.end and last > time(wish.end, zone)):
        ends = (f"{each.astimezone(zone):%Y-%m-%d %H:%M:%S}" for each in (first, last))
        return f"whole windows are counted: {' to '.join(ends)}, {zone}"
    return None
