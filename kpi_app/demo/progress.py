"""Progress bars of what takes a while. Without a terminal they are silent: a log file is no place for them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from kpi_app.sources.ship import Progress as Shipped


@contextmanager
def bars(console: Console) -> Iterator[Progress]:
    """A place for bars that vanish when done."""
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


def shipping(progress: Progress) -> Callable[[Shipped], None]:
    """A bar of bytes shipped; gives what to call with each `Progress` of `ship`."""
    task = progress.add_task("shipping", total=None, detail="")

    def report(shipped: Shipped) -> None:
        detail = f"{shipped.lines:,} lines"
        progress.update(task, total=shipped.bytes_total or None, completed=shipped.bytes_done, detail=detail)

    return report
