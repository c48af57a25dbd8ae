"""Dead letters for people and for programs: what strangers wrote is text, in one row of the terminal."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from rich.cells import cell_len, set_cell_size
from rich.table import Table
from rich.text import Text

from kpi_app.feeds.check import EXAMPLE_LENGTH, excerpt
from kpi_app.feeds.envelope import read
from kpi_app.feeds.values import printable
from kpi_app.rejected.outcome import Fate, Outcome
from kpi_app.rejected.summary import Rejected, Summary
from kpi_app.stream.deadletters import Letter

#: A producer may give its records any time; this is the last one that is shown, milliseconds: the end of the year 9998.
_LAST_MS = 253_370_764_800_000 - 1


def listing(summary: Summary, zone: ZoneInfo) -> Table:
    """A row for each reason."""
    table = _table("reason", "lines", "replayed", "first", "last")
    table.caption = f"times of the lines' records in Kafka, {zone}"
    table.caption_justify = "left"
    for reason, rejected in summary.listed:
        times = (_second(each, zone) for each in (rejected.first_ms, rejected.last_ms))
        table.add_row(reason, f"{rejected.lines:,}", f"{rejected.replayed:,}", *times)
    return table


def examples(summary: Summary, width: int) -> Iterator[Text]:
    """Some that were not replayed, a row each, with where they are in the raw topic."""
    for reason, rejected in summary.listed:
        if rejected.examples:
            yield Text(reason, "bold")
        for letter in rejected.examples:
            place = f"  {letter.partition}:{letter.offset} "
            yield Text(_cut(place + excerpt(_line(letter).encode()[: 8 * EXAMPLE_LENGTH]), width))


def fates(outcome: Outcome, dry: bool) -> Table:
    """A row for each reason: what became of the letters that waited."""
    table = _table(
        "reason", "would be sent" if dry else "sent", *(fate.value for fate in Fate if fate is not Fate.SENT)
    )
    for reason, count in sorted(outcome.by_reason.items(), key=lambda each: (-each[1].total(), each[0])):
        table.add_row(reason, *(f"{count[fate]:,}" for fate in Fate))
    return table


def listing_json(summary: Summary) -> str:
    """A list of objects, times in ISO 8601; also what is text is safe to print."""
    return _json([_listed(reason, rejected) for reason, rejected in summary.listed])


def fates_json(outcome: Outcome) -> str:
    """A list of objects, one a reason."""
    named = {fate: fate.value.replace(" ", "_") for fate in Fate}
    return _json(
        [
            {"reason": reason} | {named[fate]: count[fate] for fate in Fate}
            for reason, count in outcome.by_reason.items()
        ]
    )


def _json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode()


def _listed(reason: str, rejected: Rejected) -> dict[str, Any]:
    return {
        "reason": reason,
        "lines": rejected.lines,
        "replayed": rejected.replayed,
        "first": _time(rejected.first_ms),
        "last": _time(rejected.last_ms),
        "examples": [_example(letter) for letter in rejected.examples],
    }


def _example(letter: Letter) -> Mapping[str, Any]:
    return {
        "partition": letter.partition,
        "offset": letter.offset,
        "time": _time(letter.timestamp_ms),
        "line": printable(_line(letter)),
        "truncated": letter.truncated,
    }


def _line(letter: Letter) -> str:
    """The line without its envelope, where that can be told."""
    text = letter.text or ""
    line, _ = read(text.encode())
    return text if line is None else line


def _table(name: str, *headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(name, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _time(time_ms: int | None) -> datetime | None:
    return None if time_ms is None else datetime.fromtimestamp(min(time_ms, _LAST_MS) / 1_000, UTC)


def _second(time_ms: int | None, zone: ZoneInfo) -> str:
    time = _time(time_ms)
    return "–" if time is None else f"{time.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
