"""Shows what each server is doing while it does it."""

from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

OnBytes = Callable[[int], None]  # takes how many bytes have just arrived
_MB = 1_000_000


def moves(console: Console) -> bool:
    """Whether it is a terminal: elsewhere, a file or a pipe, nothing can be drawn anew."""
    # `is_terminal` alone is true there, too, where FORCE_COLOR is set
    return console.is_terminal and console.file.isatty()


class Row:
    """Takes what one server is doing; this one shows nothing."""

    def step(self, text: str) -> None:
        """It begins something, said in a few words."""

    def fetch(self, text: str, total_bytes: int) -> OnBytes:
        """It begins to fetch so much; returns what to call as bytes arrive."""
        return lambda count: None

    def done(self, text: str) -> None:
        """It is up."""


class Watch:
    """A line for each server: a moving one in a terminal, one for each step elsewhere (CI, a file)."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[server]:<8}"),
            BarColumn(bar_width=16),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not moves(console),  # elsewhere it would only add an empty line
        )

    def row(self, server: str) -> Row:
        """A new line, for this server."""
        return _LiveRow(server, self.progress)

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.progress.stop()


class _LiveRow(Row):
    def __init__(self, server: str, progress: Progress) -> None:
        self._server = server
        self._progress = progress
        self._task: TaskID = progress.add_task("", total=None, start=False, visible=False, server=server)

    def step(self, text: str) -> None:
        self._progress.start_task(self._task)  # counts its time from the first step
        self._progress.update(self._task, description=text, total=None, visible=True)
        if not moves(self._progress.console):
            self._print(text)

    def fetch(self, text: str, total_bytes: int) -> OnBytes:
        whole = f"{text}, {total_bytes / _MB:.0f} MB"
        self.step(whole)
        self._progress.update(self._task, total=total_bytes, completed=0)

        def on_bytes(count: int) -> None:
            self._progress.advance(self._task, count)

        return on_bytes

    def done(self, text: str) -> None:
        self._progress.update(self._task, visible=False)
        elapsed_s = self._progress.tasks[self._task].elapsed or 0.0
        self._print(f"{text} ({elapsed_s:.1f} s)")

    def _print(self, text: str) -> None:
        # No markup or highlighting: paths and addresses are to be read as they are.
        self._progress.console.print(f"{self._server:<8} {text}", markup=False, highlight=False, soft_wrap=True)
