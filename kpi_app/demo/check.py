"""`kpi check`: what a feed would make of a file, as `kpi ship` would send it, with no Kafka and no Postgres."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from kpi_app.core.fold import TimeRules
from kpi_app.demo.progress import bar
from kpi_app.errors import UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.check import Check, Top, excerpt
from kpi_app.settings import Settings
from kpi_app.sources.files import oldest_first
from kpi_app.sources.records import Origin, encode
from kpi_app.sources.tail import Block, Tail

#: Columns of the terminal, and of a value in it.
_WIDTH = 80
_VALUE_WIDTH = 40

#: What people look for, by the dimension that is empty where lines don't have it.
_PARTS = {"client": "client", "path": "request", "referrer": "referrer", "browser": "agent", "host": "host"}

#: A file's name that stands for standard input.
_STDIN = Path("-")

#: As long as the one that `kpi ship` would give: an envelope may be too long for its sake.
_ORIGIN = Origin("localhost", "0" * 32)

_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")


def check(paths: list[Path], settings: Settings, max_rejected: float, out: Console, err: Console) -> list[str]:
    """Print what is found in each file; gives those of which more than `max_rejected` percent are rejected.

    `-` is standard input. Raises `UserError` for a file that can't be read.
    """
    bad = []
    with contextlib.ExitStack() as stack:
        names = {path: path for path in paths if path != _STDIN}
        if _STDIN in paths:
            names[stack.enter_context(_standard_input())] = _STDIN
        for number, path in enumerate(oldest_first(names)):
            found = _read(path, settings, err)
            if number:
                out.print()
            for line in _report(name_of(names[path]), found):
                out.print(line, soft_wrap=True)
            if 100 * found.rejected_share > max_rejected:
                bad.append(name_of(names[path]))
    return bad


@contextlib.contextmanager
def _standard_input() -> Iterator[Path]:
    """A file with all of it, for a while: packed lines are told by a look at the start, and read from there."""
    with tempfile.NamedTemporaryFile(prefix="kpi-check-") as file:
        try:
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.flush()
        except OSError as error:
            raise UserError(f"standard input: {error.strerror}; it is kept in {file.name} meanwhile") from error
        try:
            yield Path(file.name)
        except UserError as error:  # what is wrong with it is not the file's
            raise UserError(str(error).replace(file.name, "standard input")) from error


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
            now = datetime.now(UTC)
            found.add(block.lines, list(encode(block, tail.name, now, _ORIGIN)), now)
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
        yield f"  visitors  {found.row['unique_visitors']:,}"
        yield from _times(found, counted)
        yield from (_top_line(name, values) for name, values in found.tops().items())
        yield from _missing(found)
    if found.totals["late_requests"]:
        yield f"  late      {found.totals['late_requests']:,} of the counted: after their window had closed"
    for reason, rejects in sorted(found.rejected.items(), key=lambda each: -each[1].count):
        yield f"  rejected  {reason} {rejects.count:,}"
        yield from (f"    line {example.number:,}: {example.text}" for example in rejects.examples)


def _times(found: Check, counted: int) -> Iterator[str]:
    """The request times, where there are some."""
    if timed := sum(found.totals["request_times"].values()):
        p50, p95 = found.row["request_time_p50"], found.row["request_time_p95"]
        yield f"  times     p50 {p50:.3f} s, p95 {p95:.3f} s ({timed:,} of {counted:,} lines)"


def _missing(found: Check) -> Iterator[str]:
    """What can't be counted, as the lines don't say it, or under a name that is not read."""
    lines = sum(found.formats.values())
    lacking = {part: found.lacking[dimension] for dimension, part in _PARTS.items()}
    lacking["request time"] = lines - sum(found.totals["request_times"].values())
    always = ", ".join(part for part, count in lacking.items() if count >= lines)
    partly = ", ".join(f"{part} in {count:,}" for part, count in lacking.items() if 0 < count < lines)
    said = [f"{always} in all lines"] if always else []
    said += [f"{partly} of {lines:,} lines"] if partly else []
    if said:
        yield f"  missing   {'; '.join(said)}"


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
