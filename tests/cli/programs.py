"""The project's commands as a user runs them: real processes, each in a session of its own like a terminal's."""

import ctypes
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kpi_app.local.ports import free_port

SCRIPTS = Path(sys.executable).parent
KPI = str(SCRIPTS / "kpi")
WORKER = (str(SCRIPTS / "faust"), "-A", "kpi_app", "worker", "-l", "info")

#: What the product promises of any end that was asked for.
END_S = 10.0
#: Only ever spent by a test that fails.
PATIENCE_S = 120.0

_POLL_S = 0.02
_COLUMNS, _ROWS = 80, 24


@dataclass(frozen=True)
class Done:
    """How a program ended."""

    code: int
    out: str
    err: str
    took_s: float


class Program:
    """A running program; its output goes to files in `directory`, which is its working directory, too."""

    def __init__(
        self,
        argv: tuple[str, ...],
        directory: Path,
        settings: Mapping[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
        terminal: bool = False,
    ) -> None:
        self._began_s = time.monotonic()
        directory.mkdir(parents=True, exist_ok=True)
        number = len(list(directory.glob("*.out")))
        self._files = [directory / f"{number}.out", directory / f"{number}.err"]
        self._screen = _Screen(self._files[0]) if terminal else None
        with self._files[0].open("wb") as out, self._files[1].open("wb") as err:
            end = self._screen.end if self._screen else None
            self.process = subprocess.Popen(
                argv,
                cwd=directory,
                env=environment(settings or {}),
                stdin=subprocess.DEVNULL if end is None else end,
                stdout=out if end is None else end,
                stderr=err if end is None else end,
                start_new_session=True,
                preexec_fn=prepare,
            )
        if self._screen:
            self._screen.begin()

    @property
    def pid(self) -> int:
        """The program's process, and its group's."""
        return self.process.pid

    @property
    def types_as_before(self) -> bool:
        """Whether its terminal, now that it has ended, shows what is typed and takes it by the line."""
        assert self._screen
        assert self._screen.modes is not None
        wanted = termios.ECHO | termios.ICANON
        return self._screen.modes & wanted == wanted

    @property
    def out(self) -> str:
        """What it has printed so far; in a terminal with all that goes to stderr."""
        return self._files[0].read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it has said on stderr so far."""
        return self._files[1].read_text(errors="replace")

    def until(self, *texts: str) -> None:
        """Wait until it has said one of these."""
        until(lambda: any(text in self.out + self.err for text in texts) or self._ended(texts))

    def _ended(self, texts: tuple[str, ...]) -> bool:
        assert self.process.poll() is None, f"it ended before it said {texts}:\n{self.out}\n{self.err}"
        return False

    def tell(self, number: signal.Signals) -> None:
        """Send a signal as a terminal does: to the whole group."""
        os.killpg(self.pid, number)

    def press(self, keys: bytes) -> None:
        """Type into its terminal."""
        assert self._screen
        self._screen.press(keys)

    def resize(self, columns: int, rows: int) -> None:
        """Give its terminal another size."""
        assert self._screen
        self._screen.resize(columns, rows)
        self.tell(signal.SIGWINCH)  # the kernel's part, where the terminal is that of its session

    def wait(self) -> Done:
        """Wait for its end."""
        code = self.process.wait(PATIENCE_S)
        if self._screen:
            self._screen.close()
        return Done(code, self.out, self.err, time.monotonic() - self._began_s)

    def end(self, number: signal.Signals) -> Done:
        """Send a signal; returns once it has ended. `took_s` is from the signal on."""
        told_s = time.monotonic()
        self.tell(number)
        done = self.wait()
        return Done(done.code, done.out, done.err, time.monotonic() - told_s)


class _Screen:
    """A terminal of 80 columns for a program; what appears in it goes to a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ours, self.end = pty.openpty()
        self.resize(_COLUMNS, _ROWS)
        #: How it takes what is typed, once the program has ended: echo and whole lines, unless it was left otherwise.
        self.modes: int | None = None
        self._reader = threading.Thread(target=self._read)

    def begin(self) -> None:
        os.close(self.end)
        self._reader.start()

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        self._reader.join()
        self.modes = termios.tcgetattr(self._ours)[3]
        os.close(self._ours)

    def _read(self) -> None:
        with self._file.open("ab", buffering=0) as file:
            while True:
                try:
                    data = os.read(self._ours, 65_536)
                except OSError:  # Linux: nobody has the other end any more
                    return
                if not data:
                    return
                file.write(data)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours without any setting but these, for 80 columns."""
    # pytest-xdist says LINES, which would be every terminal's height
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KPI_") and name != "LINES"}
    # whoever works on this machine may have a worker at the default port
    return {**kept, "COLUMNS": str(_COLUMNS), "TERM": "xterm", "KPI_WEB_PORT": str(free_port()), **settings}


def run(argv: tuple[str, ...], directory: Path, settings: Mapping[str, str] | None = None, **options: object) -> Done:
    """Run a program to its end."""
    with running(argv, directory, settings, **options) as program:
        return program.wait()


def run_all(
    commands: list[tuple[str, ...]], directory: Path, settings: Mapping[str, str] | None = None, **options: object
) -> list[Done]:
    """Run programs to their ends, side by side, each in a directory of its own below `directory`."""
    with ExitStack() as stack:
        programs = [
            stack.enter_context(running(argv, directory / f"run-{i}", settings, **options))
            for i, argv in enumerate(commands)
        ]
        return [program.wait() for program in programs]


@contextmanager
def running(
    argv: tuple[str, ...], directory: Path, settings: Mapping[str, str] | None = None, **options: object
) -> Iterator[Program]:
    """A program that is gone at the end of the block, whatever happens in it."""
    program = Program(argv, directory, settings, **options)  # type: ignore[arg-type]
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.process.kill()
            program.wait()


def kpi(*arguments: str | Path) -> tuple[str, ...]:
    """The command line of `kpi`."""
    return (KPI, *map(str, arguments))


def until(probe: Callable[[], bool]) -> None:
    """Return when the probe does."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not probe():
        assert time.monotonic() < give_up_s, "it did not come"
        time.sleep(_POLL_S)


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    parents = _parents()
    found = [pid]
    for ancestor in found:
        found.extend(child for child, parent in parents.items() if parent == ancestor)
    return found[1:]


def _parents() -> dict[int, int]:
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return {int(pid): int(parent) for pid, parent in map(str.split, listing.splitlines())}


def lives(pid: int) -> bool:
    """Whether there is such a process and it is more than a remainder that waits to be collected."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


def await_gone(pids: list[int]) -> None:
    """Return when none of them is left."""
    until(lambda: not any(map(lives, pids)))


def bound_by_permissions() -> Callable[[], None] | None:
    """What to do before a program starts so that permissions bind it, even as root."""
    if os.geteuid() != 0:
        return None
    if not sys.platform.startswith("linux"):
        pytest.skip("root reads and writes everything")
    libc = ctypes.CDLL(None)

    def drop() -> None:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH; PR_CAPBSET_DROP
            if libc.prctl(24, capability, 0, 0, 0):
                os._exit(99)

    return drop
