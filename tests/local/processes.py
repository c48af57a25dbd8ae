"""Looks at processes from outside."""

import os
import time

PATIENCE_S = 60.0  # only ever spent by a test that fails


def exists(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def await_gone(*pids: int) -> None:
    """Returns when none of them is left."""
    until = time.monotonic() + PATIENCE_S
    while left := [pid for pid in pids if exists(pid)]:
        assert time.monotonic() < until, f"still there: {left}"
        time.sleep(0.02)
