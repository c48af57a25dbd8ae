"""Keys of a terminal, one by one and unseen, while it is shown something live."""

import asyncio
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def pressed(keys: bytes, then: Callable[[], object]) -> Iterator[None]:
    """Call `then` when one of `keys` is pressed. Ctrl-C stays the signal that it is; where no one types, nothing is."""
    if not sys.stdin.isatty():
        yield
        return
    number, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(number)

    def read() -> None:
        try:
            typed = os.read(number, 1_024)
        except OSError:
            typed = b""
        if not typed:  # hung up
            loop.remove_reader(number)
        if set(typed) & set(keys):
            then()

    tty.setcbreak(number)
    loop.add_reader(number, read)
    try:
        yield
    finally:
        loop.remove_reader(number)
        termios.tcsetattr(number, termios.TCSADRAIN, before)
