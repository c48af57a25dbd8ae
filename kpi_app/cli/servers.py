"""Commands that start servers on this machine: `kpi demo`, `kpi up`."""

from pathlib import Path
from typing import Annotated

import typer

from kpi_app.cli.consoles import err, out
from kpi_app.demo import ending
from kpi_app.demo.terminal import safe


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
