"""The `kpi` command: each of its commands in a few lines, over the rooms that do the work.

A `UserError` becomes its one line on stderr and exit code 1; what isn't one is a bug and shows its traceback.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from kpi_app import settings as settings_of
from kpi_app.errors import UserError

cli = typer.Typer(
    name="kpi",
    help="Live, exact KPIs from access logs: nginx to Kafka to Postgres.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
out = Console(soft_wrap=False)
err = Console(stderr=True)

Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Log files; .gz too.")]


def main() -> None:
    """Entry point of `kpi`."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its errors come to us as exceptions, too
    try:
        cli()
    except UserError as error:
        err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run to the end; Ctrl-C and SIGTERM cancel it, and it cleans up behind itself."""
    try:
        asyncio.run(_cancelled_by_sigterm(coroutine))
    except KeyboardInterrupt:
        sys.exit(130)
    except asyncio.CancelledError:
        sys.exit(143)


async def _cancelled_by_sigterm(coroutine: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(coroutine)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


@cli.command()
def settings() -> None:
    """List every setting: name, value in force, default, and what it does.

    Example: KPI_GRACE=2m kpi settings
    """
    in_force = settings_of.load()
    table = Table("setting", "value", "default", "what it does", box=None, padding=(0, 2, 0, 0))
    for name, field in settings_of.Settings.model_fields.items():
        table.add_row(
            f"KPI_{name.upper()}",
            settings_of.shown(in_force, name),
            settings_of.default(name),
            field.description,
        )
    out.print(table, markup=False)


@cli.command()
def migrate() -> None:
    """Bring the database to this version's schema; safe to run by many at once.

    Example: KPI_DATABASE_URL=postgresql://kpi@127.0.0.1/kpi kpi migrate
    """
    from kpi_app.sinks.migrate import migrate as apply

    in_force = settings_of.load()
    applied = asyncio.run(apply(in_force.database_url.get_secret_value(), in_force.timezone))
    for name in applied:
        out.print(f"applied {name}", markup=False, highlight=False)
    if not applied:
        out.print("nothing to apply: the schema is up to date")


@cli.command()
def ship(
    files: Files,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is appended, through rotations.")
    ] = False,
    rate: Annotated[float | None, typer.Option(help="Lines a second at most.", min=0.1)] = None,
) -> None:
    """Send files' lines to the raw topic as Fluent Bit would, oldest file first, from where it stopped last time.

    Example: kpi ship /var/log/nginx/access.log --follow
    """
    from kpi_app.demo.progress import bars, shipping
    from kpi_app.sources.ship import ship as send
    from kpi_app.stream.kafka import connection
    from kpi_app.stream.topics import ensure_topics

    in_force = settings_of.load()

    async def run() -> None:
        await ensure_topics(in_force)
        with bars(err) as progress:
            done = await send(
                files,
                connection=connection(in_force),
                topic=in_force.topic,
                data_dir=in_force.data_dir,
                follow=follow,
                rate=rate,
                report=shipping(progress),
            )
        out.print(f"{done.lines:,} lines sent to {in_force.topic}", markup=False, highlight=False)

    _run(run())


@cli.command()
def up(
    env_file: Annotated[Path | None, typer.Option(help="Write the settings to this file, too (mode 0600).")] = None,
) -> None:
    """Run an embedded Kafka and Postgres until Ctrl-C, for a worker on this machine.

    Example: kpi up --env-file local.env
    """
    from kpi_app.local.up import local_services, write_env_file

    in_force = settings_of.load()
    try:
        with local_services(in_force.data_dir, console=err) as services:
            for name, value in services.env.items():
                out.print(f"export {name}='{value}'", markup=False, highlight=False, soft_wrap=True)
            if env_file:
                write_env_file(env_file, services.env)
            err.print("Ctrl-C ends both.")
            services.wait()
    except KeyboardInterrupt:
        sys.exit(130)


@cli.command()
def demo(
    log: Annotated[
        list[Path] | None, typer.Option(help="A log of yours instead of the demo's traffic; repeatable.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when every window is closed and in Postgres.")] = False,
    workers: Annotated[int, typer.Option(help="Workers to start.", min=1, max=16)] = 1,
    partitions: Annotated[int, typer.Option(help="Partitions of the demo's topic.", min=1, max=64)] = 4,
) -> None:
    """Show it all: Kafka, Postgres, workers, a log through them, and the KPIs as a table.

    Example: kpi demo --log /var/log/nginx/access.log --once
    """
    from kpi_app.demo.run import Plan, run

    sys.exit(run(Plan(settings_of.load(), log or [], once, workers, partitions), out, err))


@cli.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget everything that was counted: our topics, tables and books. The raw topic is left alone.

    Example: kpi reset --yes
    """
    from kpi_app.reset import forget, what_is_forgotten

    in_force = settings_of.load()
    for line in what_is_forgotten(in_force):
        err.print(line, markup=False, highlight=False, soft_wrap=True)
    if not yes and not typer.confirm("Forget all of it?", err=True):
        raise UserError("nothing was changed")
    asyncio.run(forget(in_force))
    out.print("forgotten; the next worker counts the raw topic from its start")
