"""Starts the embedded servers that are wanted, side by side, and ends them whatever happens."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from kpi_app.local.errors import LocalError
from kpi_app.local.kafka import EmbeddedKafka
from kpi_app.local.lock import locked
from kpi_app.local.postgres import EmbeddedPostgres
from kpi_app.local.progress import Watch
from kpi_app.local.server import LocalServer

_LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class LocalServices:
    """The servers that run; None where a real one is used instead."""

    kafka: EmbeddedKafka | None
    postgres: EmbeddedPostgres | None

    @property
    def env(self) -> dict[str, str]:
        """The settings that lead to them; holds the database's password."""
        brokers = {"KPI_BROKERS": self.kafka.bootstrap, "KPI_KAFKA_SECURITY": "PLAINTEXT"} if self.kafka else {}
        return brokers | ({"KPI_DATABASE_URL": self.postgres.dsn} if self.postgres else {})

    def check(self) -> None:
        """Raises `LocalError`, with the end of its log, when one of them has ended by itself."""
        for server in self.servers:
            server.check()

    def wait(self) -> None:
        """Returns never: until Ctrl-C, or until one ends by itself, which raises as `check` does."""
        while self.servers:
            for server in self.servers:
                server.exited_within(_LOOK_EVERY_S)
            self.check()

    @property
    def servers(self) -> list[LocalServer]:
        """Those that run."""
        return [server for server in (self.kafka, self.postgres) if server is not None]


@contextlib.contextmanager
def local_services(
    data_dir: Path, *, kafka: bool = True, postgres: bool = True, console: Console | None = None
) -> Iterator[LocalServices]:
    """Runs the wanted servers in `data_dir` and says on `console` (default: stderr) what it does.

    On leaving, by SIGTERM or SIGHUP too, it stops them, within some seconds. Raises `LocalError`.
    """
    with contextlib.ExitStack() as stack:
        held = (stack.enter_context(locked(data_dir)),) if kafka or postgres else ()
        stack.enter_context(_leaving_on_signals())
        watch = Watch(console)
        services = LocalServices(
            EmbeddedKafka(data_dir / "kafka", row=watch.row("Kafka"), held=held) if kafka else None,
            EmbeddedPostgres(data_dir / "postgres", row=watch.row("Postgres"), held=held) if postgres else None,
        )
        stack.callback(_stop, services)
        with watch:
            _start(services)
        yield services


def _start(services: LocalServices) -> None:
    # All at once: Postgres comes up while Kafka's virtual machine does.
    for server in services.servers:
        server.launch()
    for server in reversed(services.servers):
        server.await_ready()


def _stop(services: LocalServices) -> None:
    # Asked both before waiting for either: should the wait be interrupted, they end all the same.
    for server in services.servers:
        server.ask_to_stop()
    for server in services.servers:
        server.stop()


@contextlib.contextmanager
def _leaving_on_signals() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP (a closed terminal) leave by the door, as Ctrl-C does.

    Only where nobody else handles them. Should we end at once all the same, the keepers stop the servers.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    ours = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        ours = []  # Python hears signals in its main thread only
    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def write_env_file(path: Path, env: Mapping[str, str]) -> None:
    """Writes `export NAME='value'` lines, which a shell's `source` and python-dotenv both read; mode 0600.

    Lines of the file that set other names stay. Raises `LocalError` when it can't be written.
    """
    if odd := next((name for name, value in env.items() if "'" in value or "\n" in value), None):
        raise LocalError(f"the value of {odd} can't be written to {path}: it has a quote or a line break")
    try:
        kept = (
            [line for line in path.read_text().splitlines() if _name_set_by(line) not in env] if path.exists() else []
        )
        lines = [*kept, *(f"export {name}='{value}'" for name, value in env.items())]
        _write_private(path, "\n".join(lines) + "\n")
    except OSError as error:
        raise LocalError(f"can't write {path}: {error.strerror}; choose another --env-file") from error


def _name_set_by(line: str) -> str:
    return line.strip().removeprefix("export ").partition("=")[0].strip()


def _write_private(path: Path, text: str) -> None:
    # Never open to others, not for a moment: it holds a password.
    incoming = path.with_name(f"{path.name}.incoming")
    incoming.unlink(missing_ok=True)
    descriptor = os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    incoming.replace(path)
