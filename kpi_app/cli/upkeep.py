"""Commands that look after an installation: `kpi migrate`, `kpi reset`, `kpi settings`."""

import sys
from textwrap import fill
from typing import Annotated

import typer

from kpi_app.cli.consoles import err, out
from kpi_app.demo import ending
from kpi_app.demo.terminal import safe
from kpi_app.errors import UserError


def migrate() -> None:
    """Bring the database to this version's schema.

    Safe to run again, and by many at once.

    Example: KPI_DATABASE_URL=postgresql://kpi@127.0.0.1/kpi kpi migrate
    """
    from kpi_app.demo.progress import bar
    from kpi_app.settings import load
    from kpi_app.sinks.migrate import migrate as apply

    in_force = load()

    async def run() -> None:
        with bar(err, "migrating") as migrating:
            applied = await apply(in_force.database_url.get_secret_value(), in_force.timezone, told=migrating.show)
        for name in applied:
            out.print(f"applied {name}")
        if not applied:
            out.print("nothing to apply: the schema is up to date")

    ending.run(run())


def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget what was counted, not the raw topic.

    Deletes our topics, rows, books and local tables, after asking. The next worker counts the raw topic from its start.

    Example: kpi reset --yes
    """
    from kpi_app.demo.progress import bar
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

    async def run() -> None:
        with bar(err, "deleting") as deleting:
            await forget(in_force, deleting.show)

    ending.run(run())
    out.print("forgotten; the next worker counts the raw topic from its start")


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
