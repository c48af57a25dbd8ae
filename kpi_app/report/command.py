"""`kpi report`: asks Postgres, prints."""

from zoneinfo import ZoneInfo

from rich.console import Console

from kpi_app.errors import SinkBusy, SinkRefused, UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.report import render
from kpi_app.report.ask import Wish, resolve
from kpi_app.report.render import Rows
from kpi_app.report.unite import OnWindows
from kpi_app.report.unite import report as unite
from kpi_app.settings import Settings
from kpi_app.sinks.connect import Database, Limits


async def rows_of(settings: Settings, wish: Wish, told: OnWindows) -> Rows:
    """Read a report. `told` hears how far it is. Raises `UserError`."""
    zone = ZoneInfo(settings.timezone)
    try:
        async with Database(settings.database_url.get_secret_value(), Limits(command_s=None)) as database:
            asked, sizes_s = await resolve(wish, database, ACCESS, settings.base_window_s, zone)
            return await unite(database, ACCESS, sizes_s, asked, told=told)
    except (SinkBusy, SinkRefused) as error:
        raise UserError(str(error)) from error


def show(rows: Rows, settings: Settings, form: str, out: Console) -> None:
    """Print a report as `table`, `csv` or `json`."""
    if form == "csv":
        out.file.write(render.as_csv(rows))
    elif form == "json":
        out.file.write(render.as_json(rows) + "\n")
    elif rows:
        out.print(render.as_table(rows, ZoneInfo(settings.timezone)))
    else:
        out.print("no lines were counted in that span")
