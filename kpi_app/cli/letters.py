"""The command that looks after dead letters: `kpi rejected`."""

from enum import StrEnum
from typing import Annotated

import typer

from kpi_app.cli.consoles import err, out
from kpi_app.demo import ending
from kpi_app.errors import UserError


class Reason(StrEnum):
    """What a line is rejected for: `kpi_app.feeds.base.REASONS`, as a choice."""

    FORMAT = "format"
    TIME = "time"
    FUTURE = "future"
    ENCODING = "encoding"
    OVERSIZE = "oversize"
    JSON = "json"


class Form(StrEnum):
    """How it is printed."""

    TABLE = "table"
    JSON = "json"


def rejected(
    reason: Annotated[
        Reason | None, typer.Option(help="Only lines that were rejected for it.", show_default=False)
    ] = None,
    replay: Annotated[bool, typer.Option("--replay", help="Send what can be read now through again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --replay: say what it would send.")] = False,
    form: Annotated[Form, typer.Option("--format", help="How to print it.")] = Form.TABLE,
) -> None:
    """List the lines that could not be read, by reason.

    With --replay, after a format fix, those that can be read now are sent to the raw topic again: each line once,
    whatever stops it and however often it is said.

    Example: KPI_LOG_FORMAT=auto kpi rejected --replay --dry-run
    """
    from kpi_app.demo.progress import bar
    from kpi_app.rejected.command import show_outcome, show_summary, summary_of
    from kpi_app.rejected.replay import Replay
    from kpi_app.settings import load

    if dry_run and not replay:
        raise UserError("--dry-run goes with --replay")
    in_force, as_json = load(), form is Form.JSON
    again = Replay(in_force, reason, dry_run)

    async def look() -> None:
        with bar(err, "reading") as reading:
            summary = await summary_of(in_force, reason, lambda done, total: reading.show(done, total, ""))
        show_summary(summary, in_force, as_json, out, err)

    async def send() -> None:
        with bar(err, "replaying") as replaying:
            await again.run(lambda done, total: replaying.show(done, total, ""))

    if not replay:
        ending.run(look())
        return
    try:
        ending.run(send())
    except BaseException:
        if again.outcome.by_reason:  # what was sent is sent
            show_outcome(again.outcome, dry_run, as_json, out, err)
        raise
    show_outcome(again.outcome, dry_run, as_json, out, err)
