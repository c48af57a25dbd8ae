"""A server process on a leash: it ends with us, even when we are killed. `keeper.py` is the other end."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kpi_app.local.errors import LocalError

KEEPER = Path(__file__).with_name("keeper.py")
# What a server needs of our environment. The rest stays here: our settings hold secrets, and
# variables such as PGPORT or JAVA_TOOL_OPTIONS would change what the servers do.
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
# More than the stages of any order and the keeper's own patience with orphans.
_KEEPER_LIMIT_S = 30.0


@dataclass(frozen=True)
class Stage:
    """One step of stopping: a signal, and how long the server may take before the next, harder one."""

    signal: signal.Signals
    patience_s: float


@dataclass(frozen=True)
class Order:
    """What to run and how to stop it; SIGKILL follows the last stage."""

    argv: Sequence[str]
    log: Path
    cwd: Path
    stages: Sequence[Stage]
    env: Mapping[str, str]
    run_as: tuple[int, int] | None = None  # user and group; None: ours
    held: Sequence[int] = ()  # descriptors (locks) that are held until the server is gone


def base_environment() -> dict[str, str]:
    """The part of our environment that servers get."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {"LC_ALL": "C"}


class Kept:
    """A running server and its keeper. Construction starts it; raises `LocalError` when it can't be run."""

    def __init__(self, order: Order) -> None:
        self.log = order.log
        _rotate(order.log)
        with order.log.open("wb") as log:
            self._keeper = subprocess.Popen(  # noqa: S603  this very Python, a file of ours
                [sys.executable, "-I", "-S", str(KEEPER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                pass_fds=order.held,
            )
        try:
            self.pid = self._send(order)
        except BaseException:  # Ctrl-C, too: whoever constructs us has nothing yet to stop it by
            self.stop()
            raise

    def _send(self, order: Order) -> int:
        assert self._keeper.stdin is not None  # noqa: S101  both are pipes
        assert self._keeper.stdout is not None  # noqa: S101
        self._keeper.stdin.write(_as_json(order))
        self._keeper.stdin.flush()
        with self._keeper.stdout as answers:
            answer = answers.readline().decode().strip()
        if not answer.isdecimal():
            raise LocalError(f"could not run {order.argv[0]}: {answer or 'its keeper died'}")
        return int(answer)

    @property
    def exit_code(self) -> int | None:
        """None while the server (or what it started) runs; 128 + n when signal n ended it."""
        return self._keeper.poll()

    def exited_within(self, seconds: float) -> bool:
        """Waits until the server is gone, at most so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(seconds)
        return self._keeper.poll() is not None

    def ask_to_stop(self) -> None:
        """Begins to stop the server; doesn't wait."""
        if self._keeper.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._keeper.stdin.close()

    def stop(self) -> None:
        """Stops the server in order, with force if it must be; returns when it is gone."""
        self.ask_to_stop()
        self._keeper.wait(_KEEPER_LIMIT_S)

    def kill(self) -> None:
        """SIGKILL, at once; returns when the server is gone."""
        assert self._keeper.stdin  # noqa: S101
        with contextlib.suppress(BrokenPipeError, ValueError):  # it ended before, by itself or by stop()
            self._keeper.stdin.write(b"K")
            self._keeper.stdin.flush()
        self._keeper.wait(_KEEPER_LIMIT_S)
        self.ask_to_stop()


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, for an error message."""
    try:
        text = log.read_text(errors="replace")
    except OSError as error:
        return f"(no log: {error})"
    return "\n".join(text.splitlines()[-lines:])


def _rotate(log: Path) -> None:
    # A restart must not wipe what the killed run said last.
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))


def _as_json(order: Order) -> bytes:
    user, group = order.run_as or (None, None)
    fields = {
        "argv": list(order.argv),
        "env": dict(order.env),
        "cwd": str(order.cwd),
        "user": user,
        "group": group,
        "stages": [(int(stage.signal), stage.patience_s) for stage in order.stages],
        "parent": os.getpid(),
    }
    return json.dumps(fields).encode() + b"\n"
