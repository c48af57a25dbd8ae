"""Runs one server process and ends it when its own parent is gone, however that came about.

Started by `kept.py` as a program of its own (standard library only, `python -I -S keeper.py`), in a session
of its own, so that Ctrl-C in a terminal reaches the parent alone. Standard input is the leash: a line of
JSON with the order, later a `K` for SIGKILL; its end, which also comes when the parent is killed, asks the
server to stop, with ever harder signals. Standard output says the server's pid, standard error is its log.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CHECK_PARENT_EVERY_S = 1.0
_ORPHANS_LIMIT_S = 5.0
Prctl = Callable[[int, int], object]


def _find_prctl() -> Prctl:
    """Linux's prctl; elsewhere nothing, so that a killed keeper leaves its server behind there."""
    if not sys.platform.startswith("linux"):
        return lambda option, value: None
    libc = ctypes.CDLL(None)  # found before any fork: the child between fork and exec must not import
    return lambda option, value: libc.prctl(option, value, 0, 0, 0)


def _wake_on_signals() -> int:
    """A descriptor that becomes readable when a child ends or someone asks this process to stop."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return readable


def _read_order() -> dict[str, Any]:
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(0, 65_536)
        if not chunk:
            sys.exit(0)  # the parent was gone before it had said what to run
        line += chunk
    order: dict[str, Any] = json.loads(line)
    return order


def _spawn(order: dict[str, Any], prctl: Prctl) -> subprocess.Popen[bytes]:
    run_as = {"user": order["user"], "group": order["group"], "extra_groups": []} if order["user"] else {}
    return subprocess.Popen(  # noqa: S603  the order is our parent's
        order["argv"],
        env=order["env"],
        cwd=order["cwd"],
        stdin=subprocess.DEVNULL,
        stdout=2,
        preexec_fn=lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),  # runs after the change of user, which clears it
        **run_as,
    )


def _leash(wake: int, parent: int, within_s: float) -> bytes:
    """What the parent says: `K`, nothing yet (empty), or `.` for the end of the leash."""
    readable, _, _ = select.select([0, wake], [], [], min(within_s, _CHECK_PARENT_EVERY_S))
    asked_to_stop = wake in readable and signal.SIGTERM in os.read(wake, 4096)
    if asked_to_stop or os.getppid() != parent:  # a fork of the parent may still hold the leash
        return b"."
    return (os.read(0, 1) or b".") if 0 in readable else b""


def _stop(child: subprocess.Popen[bytes], wake: int, stages: Iterator[Sequence[float]]) -> None:
    """Sends each stage's signal in turn and gives it its time; SIGKILL last."""
    for number, patience_s in stages:
        child.send_signal(int(number))
        until = time.monotonic() + patience_s
        while child.poll() is None and (left := until - time.monotonic()) > 0:
            if select.select([wake], [], [], left)[0]:
                os.read(wake, 4096)
        if child.poll() is not None:
            return
    child.kill()
    child.wait()


def _keep(child: subprocess.Popen[bytes], wake: int, parent: int, stages: Iterator[Sequence[float]]) -> None:
    while child.poll() is None:
        word = _leash(wake, parent, _CHECK_PARENT_EVERY_S)
        if word == b"K":
            child.kill()
        elif word == b".":
            _stop(child, wake, stages)


def _orphans() -> list[int]:
    """The processes that the server left; they are ours since we are their subreaper (Linux)."""
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in listing.read_text().split()] if listing.exists() else []


def _await_orphans(wake: int) -> None:
    """Waits until everything that the server started is gone too: its successor may need what they hold."""
    until = time.monotonic() + _ORPHANS_LIMIT_S
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            continue
        if time.monotonic() > until:
            for orphan in _orphans():
                os.kill(orphan, signal.SIGKILL)
        if select.select([wake], [], [], 0.1)[0]:
            os.read(wake, 4096)


def main() -> int:
    """Runs the order; returns the server's exit code, 128 + n when signal n ended it."""
    os.umask(0o077)  # what servers write (data, logs) is for their user only
    wake, prctl = _wake_on_signals(), _find_prctl()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    order = _read_order()
    try:
        child = _spawn(order, prctl)
    except OSError as error:
        os.write(1, f"{error}\n".encode())
        return 127
    with contextlib.suppress(BrokenPipeError):  # the parent is gone already: the leash says so, too
        os.write(1, f"{child.pid}\n".encode())
    os.close(1)
    _keep(child, wake, order["parent"], iter(order["stages"]))
    _await_orphans(wake)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    sys.exit(main())
