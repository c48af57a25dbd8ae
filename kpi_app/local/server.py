"""What the embedded Kafka and Postgres have in common: start, wait until it answers, stop, kill."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from kpi_app.local.errors import LocalError
from kpi_app.local.kept import Kept, Order, tail
from kpi_app.local.ports import choose_port
from kpi_app.local.progress import Row

READY_LIMIT_S = 60.0
_ASK_EVERY_S = 0.03


class LocalServer(ABC):
    """One embedded server in a directory of its own, on a loopback port that it keeps over restarts.

    Start and stop it with `with`, or by hand; `launch` and `await_ready` are the halves of `start`, to start
    several at once. All of them raise `LocalError`.
    """

    name: str

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        row: Row | None = None,
        held: Sequence[int] = (),
    ) -> None:
        self.directory = directory.absolute()
        self.log = self.directory / f"{self.name.lower()}.log"
        self._wanted_port = port
        self._port: int | None = None
        self._row = row or Row()
        self._held = held
        self._kept: Kept | None = None

    @abstractmethod
    def _prepare(self) -> None:
        """Makes what the first start needs; does nothing later."""

    @abstractmethod
    def _order(self) -> Order:
        """How to run the server on `self.port`."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server takes requests now."""

    @property
    def port(self) -> int:
        """The loopback port, known once launched."""
        if self._port is None:
            raise LocalError(f"{self.name} has no port yet: start it first")
        return self._port

    @property
    def pid(self) -> int:
        """The server's process."""
        if self._kept is None:
            raise LocalError(f"{self.name} is not running: start it first")
        return self._kept.pid

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._kept is not None and self._kept.exit_code is None

    def launch(self) -> None:
        """Starts the process; doesn't wait until it answers."""
        if self.running:
            return
        self.stop()  # lets go of one that ended by itself
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._prepare()
            self._port = choose_port(self._port or self._wanted_port, self.directory / "port")
            self._row.step(f"starting on 127.0.0.1:{self._port}")
            self._kept = Kept(self._order())
        except OSError as error:
            place, reason = error.filename or self.directory, error.strerror or error
            raise LocalError(
                f"{self.name} can't use {place}: {reason}; mend that, or set KPI_DATA_DIR to another place"
            ) from error

    def await_ready(self, limit_s: float = READY_LIMIT_S) -> None:
        """Returns once the server answers; stops it and raises when it dies or takes too long."""
        assert self._kept is not None  # noqa: S101
        until = time.monotonic() + limit_s
        while not self._answers():
            if self._kept.exited_within(_ASK_EVERY_S):
                self.stop()
                raise self._failed(f"ended with exit code {self._kept.exit_code} before it answered")
            if time.monotonic() > until:
                self.stop()
                raise self._failed(f"did not answer within {limit_s:g} s")
        self._row.done(f"ready on 127.0.0.1:{self.port}")

    def check(self) -> None:
        """Raises when it was started and has ended by itself."""
        if self._kept is not None and self._kept.exit_code is not None:
            raise self._failed(f"ended with exit code {self._kept.exit_code}")

    def exited_within(self, seconds: float) -> bool:
        """Waits until the server is gone, at most so long."""
        return self._kept is None or self._kept.exited_within(seconds)

    def start(self, limit_s: float = READY_LIMIT_S) -> None:
        """Starts the server and waits until it answers."""
        self.launch()
        self.await_ready(limit_s)

    def ask_to_stop(self) -> None:
        """Begins to stop it; doesn't wait."""
        if self._kept is not None:
            self._kept.ask_to_stop()

    def stop(self) -> None:
        """Stops it in order and waits until it is gone; nothing happens when it isn't running."""
        if self._kept is not None:
            self._kept.stop()

    def kill(self) -> None:
        """Ends it with SIGKILL, as a crash would; `start` then resumes its port and data."""
        if self._kept is not None:
            self._kept.kill()

    def _failed(self, what: str) -> LocalError:
        return LocalError(f"{self.name} {what}; the end of its log, {self.log}:\n{tail(self.log)}")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()  # Ctrl-C while waiting, too
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
