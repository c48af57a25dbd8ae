"""What goes to the terminal, and that nothing in it moves a cursor or reads as markup."""

import logging

from rich.console import Console

from kpi_app.feeds.values import printable


def console(stderr: bool = False) -> Console:
    """A console that prints text as it is: no markup, no emoji codes, no colours by guess."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def safe(text: str) -> str:
    """Replace what is not printable, line breaks aside: a path or an error may hold anything."""
    return printable(text, keep="\n")


class ConsoleLog(logging.Handler):
    """Shows what the rooms log, above any progress bar; without tracebacks."""

    def __init__(self, to: Console) -> None:
        super().__init__(logging.WARNING)
        self._to = to

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message alone."""
        self._to.print(safe(record.getMessage()), soft_wrap=True)
