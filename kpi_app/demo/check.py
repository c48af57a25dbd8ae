"""`kpi check`: what a feed would make of a file, as `kpi ship` would send it, with no Kafka and no Postgres."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from kpi_app.core.fold import TimeRules
from kpi_app.demo.progress import bar
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.check import Check, Top, excerpt
from kpi_app.settings import Settings
from kpi_app.sources.files import oldest_first
from kpi_app.sources.records import encode
from kpi_app.sources.tail import Block, Tail

#: Columns of the terminal, and of a value in it.
_WIDTH = 80
_VALUE_WIDTH = 40

_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")


def check(paths: list[Path], settings: Settings, max_rejected: float, out: Console, err: Console) -> bool:
    """Print what is found in each file; whether no more than `max_rejected` percent of each is rejected.

    Raises `UserError` for a file that can't be read.
    """
    good = True
    for number, path in enumerate(oldest_first(paths)):
        found = _read(path, settings, err)
        if number:
            out.print()
        for line in _report(name_of(path), found):
            out.print(line, soft_wrap=True)
        good = good and 100 * found.rejected_share <= max_rejected
    return good


def name_of(path: Path) -> str:
    """The file's name, safe to print."""
    return excerpt(os.fsencode(path))


def _read(path: Path, settings: Settings, err: Console) -> Check:
    rules = TimeRules(settings.base_window_s, settings.grace, settings.future_limit, settings.correct_for)
    found = Check(ACCESS, settings.reading, rules)
    done = 0
    with contextlib.closing(Tail(path)) as tail, bar(err, "reading") as reading:
        for block in _blocks(tail):
            # Judged as it would arrive: in an envelope, with bytes that are no UTF-8 replaced.
            found.add(block.lines, list(encode(block, tail.name, datetime.now(UTC))))
            done += block.disk_bytes
            reading.show(done, tail.size, f"{found.lines:,} lines")
    return found


def _blocks(tail: Tail) -> Iterator[Block]:
    while block := tail.read():
        yield block
    if block := tail.rest():
        yield block


def _report(name: str, found: Check) -> Iterator[str]:
    rejected = sum(rejects.count for rejects in found.rejected.values())
    counted = int(found.totals["requests"])
    dropped = found.lines - counted - rejected
    share = f" ({_percent(found.rejected_share)})" if rejected else ""
    late = f" + {dropped:,} too late for KPI_CORRECT_FOR" if dropped else ""
    lines = f"{found.lines:,} line{'' if found.lines == 1 else 's'}"
    yield f"{name}: {lines} = {counted:,} counted + {rejected:,} rejected{share}{late}"
    if found.time_range is not None:
        first, last = found.time_range
        formats = ", ".join(f"{name} {count:,}" for name, count in found.formats.most_common())
        statuses = ((name, int(found.totals[f"status_{name}"])) for name in _CLASSES)
        yield f"  format    {formats}"
        yield f"  time      {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"
        yield f"  class     {', '.join(f'{name} {count:,}' for name, count in statuses if count)}"
        yield f"  bytes     {found.totals['bytes_sent']:,}"
        yield from (_top_line(name, values) for name, values in found.tops().items())
    if found.totals["late_requests"]:
        yield f"  late      {found.totals['late_requests']:,} of the counted: after their window had closed"
    for reason, rejects in sorted(found.rejected.items(), key=lambda each: -each[1].count):
        yield f"  rejected  {reason} {rejects.count:,}"
        yield from (f"    line {example.number:,}: {example.text}" for example in rejects.examples)


def _top_line(name: str, values: Sequence[Top]) -> str:
    """The values with the most lines, each cut so that some fit in a row of 80 columns."""
    said = f"  {name:<9} "
    shown = [f"{_cut(top.value)} {'' if top.is_exact else '≥ '}{top.lines:,}" for top in values]
    while len(shown) > 1 and cell_len(said + ", ".join(shown)) > _WIDTH:
        shown.pop()
    return said + ", ".join(shown)


def _cut(value: str) -> str:
    text = excerpt(value.encode())
    return text if cell_len(text) <= _VALUE_WIDTH else set_cell_size(text, _VALUE_WIDTH - 1) + "…"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if share >= 0.0001 else "under 0.01 %"
