"""How commands end: a second signal changes nothing, not even while the event loop closes."""

import signal
import sys
from pathlib import Path

import pytest

from tests.cli.programs import running

#: Ends at the first signal; a second one comes at the moment when the loop has no way to hear of it any more.
PROGRAM = """
import asyncio, os, signal
from kpi_app.demo import ending

close = asyncio.SelectorEventLoop.close

def closed(loop):
    close_pipe = loop._close_self_pipe
    def pipe():
        close_pipe()
        os.kill(os.getpid(), signal.{second})
    loop._close_self_pipe = pipe
    close(loop)
    os.kill(os.getpid(), signal.{second})

asyncio.SelectorEventLoop.close = closed

async def main():
    print("up", flush=True)
    await asyncio.Event().wait()

ending.run(main(), lambda: print("told", flush=True))
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_while_the_loop_closes(second: signal.Signals, tmp_path: Path) -> None:
    """The code is the first one's; nothing is printed of the second."""
    with running((sys.executable, "-c", PROGRAM.format(second=second.name)), tmp_path) as program:
        program.until("up")
        done = program.end(signal.SIGTERM)
    assert (done.code, done.out, done.err) == (128 + signal.SIGTERM, "up\ntold\n", "")
