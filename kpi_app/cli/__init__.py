"""The `kpi` command: each of its commands in a few lines, over the rooms that do the work.

A `UserError` becomes its one line on stderr and exit code 1; what isn't one is a bug and shows its traceback. Rooms
are imported where they are used, so that `kpi --help` is there at once.
"""

import logging
import sys
from typing import Annotated

import typer

from kpi_app import __version__
from kpi_app.cli.consoles import err, out
from kpi_app.cli.letters import rejected
from kpi_app.cli.logs import check, ship
from kpi_app.cli.looks import report, top
from kpi_app.cli.servers import demo, up
from kpi_app.cli.upkeep import migrate, reset, settings
from kpi_app.demo.terminal import ConsoleLog, safe
from kpi_app.errors import UserError

#: All commands, in the order in which `kpi --help` lists them.
COMMANDS = (demo, check, up, migrate, ship, report, top, rejected, reset, settings)

cli = typer.Typer(
    name="kpi",
    help="Live, exact KPIs from access logs: nginx to Kafka to Postgres.",
    epilog="A worker is started with: faust -A kpi_app worker -l info",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _command in COMMANDS:
    cli.command()(_command)


def main() -> None:
    """Entry point of `kpi`."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its errors come to us as exceptions, too
    logging.basicConfig(handlers=[ConsoleLog(err)])
    try:
        cli()
    except UserError as error:
        err.print(safe(str(error)), soft_wrap=True)
        sys.exit(1)


def _version(asked: bool) -> None:
    if asked:
        out.print(f"kpi_app {__version__}")
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What all commands have in common."""
