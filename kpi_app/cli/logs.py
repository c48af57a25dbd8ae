"""Commands that take log files: `kpi check`, `kpi ship`."""

from pathlib import Path
from typing import Annotated

import typer

from kpi_app.cli.consoles import err, out
from kpi_app.demo import ending
from kpi_app.errors import UserError

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE", help="Log files; .gz too.", show_default=False, readable=False)
]


def check(
    files: Files,
    max_rejected: Annotated[
        float,
        typer.Option(metavar="PERCENT", help="Exit with 1 when more of a file's lines are rejected.", min=0, max=100),
    ] = 1.0,
) -> None:
    """Read a log with no Kafka and no Postgres.

    Prints the format, the time range and the totals of each file, what its lines lack, and which would be rejected, and
    why. A file named - is standard input.

    Example: kpi check /var/log/nginx/access.log*
    """
    from kpi_app.demo.check import check as print_check
    from kpi_app.settings import load

    if bad := print_check(files, load(), max_rejected, out, err):
        which = f"{', '.join(bad)}: " if len(files) > 1 else ""
        raise UserError(f"{which}more than {max_rejected:g} % of the lines are rejected")


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
