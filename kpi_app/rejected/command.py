"""`kpi rejected`: asks Kafka, prints."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from rich.console import Console, RenderableType

from kpi_app.rejected import render
from kpi_app.rejected.letters import Receipts, Told, answering, letters
from kpi_app.rejected.outcome import Fate, Outcome
from kpi_app.rejected.summary import Summary
from kpi_app.settings import Settings


async def summary_of(settings: Settings, reason: str | None, told: Told) -> Summary:
    """The dead letters by reason. `told` hears how far it is. Raises `UserError`."""
    with answering(settings):
        async with letters(settings) as found:
            summary, replayed = Summary(), Receipts()
            async for some in found.found(told):
                summary.add(some, replayed, reason)
                replayed.note(some)
            if not replayed:
                return summary
            summary = Summary()  # anew, now that it is known which of them were sent through again
            async for some in found.found(told):
                summary.add(some, replayed, reason)
            return summary


def show_summary(summary: Summary, settings: Settings, as_json: bool, out: Console, err: Console) -> None:
    """Print dead letters by reason."""
    if as_json:
        out.file.write(render.listing_json(summary) + "\n")
    elif not summary.by_reason:
        out.print("no rejected lines")
    else:
        _print(out, render.listing(summary, ZoneInfo(settings.timezone)))
        if shown := list(render.examples(summary, out.width)):
            _print(out, "", *shown)
    _note_strangers(summary.strangers, err)


def show_outcome(outcome: Outcome, dry: bool, as_json: bool, out: Console, err: Console) -> None:
    """Print what a replay did."""
    if as_json:
        out.file.write(render.fates_json(outcome) + "\n")
    elif not outcome.by_reason:
        out.print("nothing to replay: no rejected line waits for it")
    else:
        _print(out, render.fates(outcome, dry))
        for line in _remarks(outcome):
            err.print(line, soft_wrap=True)
    _note_strangers(outcome.strangers, err)


def _remarks(outcome: Outcome) -> Iterator[str]:
    if outcome.total(Fate.STILL):
        yield "rejected still: they can't be read by the settings in force here; `kpi rejected` shows some"
    if outcome.total(Fate.GONE):
        yield "gone: the raw topic does not have their lines any more"
    if outcome.total(Fate.OTHER):
        yield "other: the raw topic has other lines in their place: was it made anew?"


def _note_strangers(count: int, err: Console) -> None:
    if count:
        err.print(f"{count:,} records among the dead letters were not written by this version: left alone")


def _print(out: Console, *parts: RenderableType) -> None:
    """Print without spaces at the ends of lines, where it may be kept."""
    if out.is_terminal:
        for part in parts:
            out.print(part)
        return
    with out.capture() as captured:
        for part in parts:
            out.print(part)
    out.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
