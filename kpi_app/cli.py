"""The `kpi` command: each of its commands in a few lines, over the rooms that do the work.

A `UserError` becomes its one line on stderr and exit code 1; what isn't one is a bug and shows its traceback. Rooms
are imported where they are used, so that `kpi --help` is there at once.
"""

import logging
import sys
from enum import StrEnum
from pathlib import Path
from textwrap import fill
from typing import Annotated

import typer

from kpi_app import __version__
from kpi_app.demo import ending
from kpi_app.demo.terminal import ConsoleLog, console, safe
from kpi_app.errors import UserError

cli = typer.Typer(
    name="kpi",
    help="Live, exact KPIs from access logs: nginx to Kafka to Postgres.",
    epilog="A worker is started with: faust -A kpi_app worker -l info",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
out = console()
err = console(stderr=True)

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE", help="Log files; .gz too.", show_default=False, readable=False)
]


class Form(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


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


@cli.command()
def demo(
    log: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A log of yours instead of the demo's traffic; repeatable.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when every window is closed and in Postgres.")] = False,
    workers: Annotated[int, typer.Option(metavar="N", help="Workers to start, up to 16.", min=1, max=16)] = 1,
    partitions: Annotated[int, typer.Option(metavar="N", help="Partitions of its topic, up to 64.", min=1, max=64)] = 4,
) -> None:
    """Show it all at work on this machine.

    Starts Kafka, Postgres and a worker, sends a log through them, prints the KPIs, and goes on with live traffic until
    Ctrl-C, which leaves nothing behind. Where KPI_BROKERS or KPI_DATABASE_URL are set, those are used instead.

    Example: kpi demo --log /var/log/nginx/access.log --once
    """
    from kpi_app.demo.run import Plan, run
    from kpi_app.settings import load

    run(Plan(load(), log or [], once, workers, partitions), out, err)


@cli.command()
def check(
    files: Files,
    max_rejected: Annotated[
        float,
        typer.Option(metavar="PERCENT", help="Exit with 1 when more of a file's lines are rejected.", min=0, max=100),
    ] = 1.0,
) -> None:
    """Read a log with no Kafka and no Postgres.

    Prints the format, the time range and the totals of each file, and which lines would be rejected, and why.

    Example: kpi check /var/log/nginx/access.log*
    """
    from kpi_app.demo.check import check as print_check
    from kpi_app.settings import load

    if not print_check(files, load(), max_rejected, out, err):
        raise UserError(f"more than {max_rejected:g} % of the lines are rejected")


@cli.command()
def up(
    env_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the settings to this file, too (mode 0600).", show_default=False, readable=False
        ),
    ] = None,
) -> None:
    """Run Kafka and Postgres here until Ctrl-C.

    Prints the settings that lead to them. What they hold stays in KPI_DATA_DIR for the next time.

    Example: kpi up --env-file local.env
    """
    from kpi_app.local.up import local_services, write_env_file
    from kpi_app.preflight import check_data_dir
    from kpi_app.settings import load

    in_force = load()
    check_data_dir(in_force.data_dir)
    if env_file:
        _check_writable(env_file)  # a wrong path shows before anything is started
    with ending.ending_once(), local_services(in_force.data_dir, console=err) as services:
        for name, value in services.env.items():
            out.print(f"export {name}='{value}'", soft_wrap=True)
        if env_file:
            write_env_file(env_file, services.env)
            here = "" if env_file.is_absolute() else "./"  # some shells look for a bare name in PATH only
            err.print(f"In other terminals: . {here}{safe(str(env_file))}", soft_wrap=True)
        err.print("Ctrl-C ends both.")
        services.wait()


def _check_writable(path: Path) -> None:
    """Raise `UserError` when the file can't be written; leave none behind that an early reader would take for it."""
    from kpi_app.local.up import write_env_file

    existed = path.exists()
    write_env_file(path, {})
    if not existed:
        path.unlink()


@cli.command()
def migrate() -> None:
    """Bring the database to this version's schema.

    Safe to run again, and by many at once.

    Example: KPI_DATABASE_URL=postgresql://kpi@127.0.0.1/kpi kpi migrate
    """
    from kpi_app.settings import load
    from kpi_app.sinks.migrate import migrate as apply

    in_force = load()

    async def run() -> None:
        applied = await apply(in_force.database_url.get_secret_value(), in_force.timezone)
        for name in applied:
            out.print(f"applied {name}")
        if not applied:
            out.print("nothing to apply: the schema is up to date")

    ending.run(run())


@cli.command()
def ship(
    files: Files,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is appended, through rotations.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(metavar="N", help="Lines a second at most.", min=0.1, show_default=False)
    ] = None,
) -> None:
    """Send log files to Kafka, from where it stopped.

    Their lines go to the raw topic as Fluent Bit would send them, oldest file first. KPI_DATA_DIR keeps the positions.

    Example: kpi ship /var/log/nginx/access.log --follow
    """
    from kpi_app.demo.progress import bars, shipping
    from kpi_app.settings import load
    from kpi_app.sources.files import oldest_first
    from kpi_app.sources.ship import Progress
    from kpi_app.sources.ship import ship as send
    from kpi_app.stream.kafka import connection
    from kpi_app.stream.topics import ensure_raw_topic

    in_force = load()
    oldest_first(files)  # a wrong path shows before Kafka is asked for anything
    sent = Progress()

    async def run() -> None:
        await ensure_raw_topic(in_force)
        with bars(err) as progress:
            show = shipping(progress)

            def report(shipped: Progress) -> None:
                nonlocal sent
                sent = shipped
                show(shipped)

            await send(
                files,
                connection=connection(in_force),
                topic=in_force.topic,
                data_dir=in_force.data_dir,
                follow=follow,
                rate=rate,
                report=report,
            )

    try:
        ending.run(run())
    finally:
        if sent.lines:
            out.print(f"{sent.lines:,} lines sent to {in_force.topic}")
    if not sent.lines:
        out.print("nothing to send: these files were sent before")


@cli.command()
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
    from kpi_app.report.ask import Wish
    from kpi_app.report.command import report as print_report
    from kpi_app.settings import load

    ending.run(print_report(load(), Wish(start, end, window, by, top), form, out))


@cli.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget what was counted, not the raw topic.

    Deletes our topics, rows, books and local tables, after asking. The next worker counts the raw topic from its start.

    Example: kpi reset --yes
    """
    from kpi_app.reset import check_resettable, forget, what_is_forgotten
    from kpi_app.settings import load

    in_force = load()
    if not yes:
        ending.run(check_resettable(in_force))
        for line in what_is_forgotten(in_force):
            # addresses are to be copied: only whole words go to the next line
            said = fill(
                safe(line), err.width, subsequent_indent=" " * 10, break_long_words=False, break_on_hyphens=False
            )
            err.print(said, soft_wrap=True)
        try:
            agreed = typer.confirm("Forget all of it?", err=True)
        except typer.Abort:
            err.print()
            hint = "" if sys.stdin.isatty() else "; where nobody can answer, say --yes"
            raise UserError(f"nothing was changed{hint}") from None
        if not agreed:
            raise UserError("nothing was changed")
    ending.run(forget(in_force))
    out.print("forgotten; the next worker counts the raw topic from its start")


@cli.command()
def settings() -> None:
    """List every setting: its value and what it does.

    Settings come from the environment, or from .env in the working directory. Durations take s, m, h, d.

    Example: KPI_GRACE=2m kpi settings
    """
    from rich.text import Text

    from kpi_app import settings as settings_of

    in_force = settings_of.load()
    for name, field in settings_of.Settings.model_fields.items():
        value, default = settings_of.shown(in_force, name), settings_of.default(name)
        remark = "(default)" if value == default else f"(default: {default})"
        said = Text.assemble((f"KPI_{name.upper()}", "bold"), f"={safe(value)}  ", (remark, "dim"))
        out.print(said, soft_wrap=True)
        indent = "  "
        out.print(fill(field.description or "", out.width, initial_indent=indent, subsequent_indent=indent))
