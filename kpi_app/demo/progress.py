"""Progress bars of what takes a while. Without a terminal they are silent: a log file is no place for them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from kpi_app.local.progress import moves
from kpi_app.sources.ship import Progress as Shipped


@contextmanager
def bars(console: Console) -> Iterator[Progress]:
    """A place for bars that vanish when done."""
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[percent]:>5}"),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not moves(console)) as progress:
        yield progress


class Bar:
    """One bar of `bars`; it moves to and fro as long as its total is not known."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=None, detail="", percent="")

    def show(self, done: int, total: int, detail: str) -> None:
        """Move it to `done` of `total`."""
        percent = f"{100 * done // total} %" if total else ""
        self._progress.update(self._task, completed=done, total=total or None, detail=detail, percent=percent)

    def remove(self) -> None:
        """Take it away, its work being done."""
        self._progress.remove_task(self._task)


@contextmanager
def bar(console: Console, name: str) -> Iterator[Bar]:
    """One bar alone."""
    with bars(console) as progress:
        yield Bar(progress, name)


def shipping(progress: Progress) -> Callable[[Shipped], None]:
    """A bar of bytes shipped; gives what to call with each `Progress` of `ship`."""
    shown = Bar(progress, "shipping")

    def report(shipped: Shipped) -> None:
        shown.show(shipped.bytes_done, shipped.bytes_total, f"{shipped.lines:,} lines")

    return report
