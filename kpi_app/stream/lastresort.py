"""The end of a process whose watchdog can't run, since some code keeps the interpreter's lock to itself.

A regular expression that never comes to its end is such code: no thread of Python runs meanwhile. The kernel counts how
long the process computes. When that is over before the watchdog has come back to put it off, SIGPROF comes:
faulthandler, which needs no lock, writes the stacks of all threads, and the signal ends the process. One that is
frozen, or that waits, does not compute.
"""

import faulthandler
import os
import signal
import sys

#: Several threads compute at once where none of them needs the lock, and time counts as often; this many at most.
THREADS = 8


def prepare() -> None:
    """Have the stacks written before the end; what they are written to is not Python's to replace."""
    if sys.__stderr__ is not None:
        faulthandler.register(signal.SIGPROF, file=sys.__stderr__, all_threads=True, chain=True)


def put_off(limit_s: float) -> None:
    """End the process when it computes for so long, counted from now."""
    signal.setitimer(signal.ITIMER_PROF, limit_s * min(_cores(), THREADS))


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
