"""Workers of the demo: real `faust worker` processes that end with it, even when it is killed."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from kpi_app.errors import UserError
from kpi_app.local.kept import Kept, Order, Stage, base_environment, tail
from kpi_app.local.ports import is_free

#: A worker checkpoints and flushes before it ends, within seconds in any case.
_STAGES = (Stage(signal.SIGTERM, 8.0),)


class Workers:
    """A number of workers with the same settings, each with a web port of its own."""

    def __init__(self, count: int, env: Mapping[str, str], directory: Path, first_port: int) -> None:
        #: Web ports by worker; one may change until all of them run.
        self.ports: list[int] = []
        self._count = count
        self._env = env
        self._directory = directory
        self._first_port = first_port
        self._kept: list[Kept] = []

    def __enter__(self) -> Self:
        try:
            for _ in range(self._count):
                port = self._free_port()
                self._kept.append(Kept(self._order(port)))
                self.ports.append(port)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop them in order."""
        for worker in self._kept:
            worker.ask_to_stop()
        for worker in self._kept:
            worker.stop()

    def kill(self) -> None:
        """End them at once: what they do not save was not promised to anyone."""
        for worker in self._kept:
            worker.kill()

    def check(self) -> None:
        """Raise `UserError`, with the end of its log, when a worker has ended by itself."""
        for i, (worker, port) in enumerate(zip(self._kept, self.ports, strict=True)):
            if worker.exit_code is None:
                continue
            if is_free(port):
                log = tail(self._log(port))
                raise UserError(f"a worker ended with exit code {worker.exit_code}; the end of its log:\n{log}")
            # It lost its port, to another demo that started at the same time.
            worker.stop()
            self.ports[i] = self._free_port()
            self._kept[i] = Kept(self._order(self.ports[i]))

    def _free_port(self) -> int:
        for port in range(self._first_port, min(self._first_port + 1_000, 65_536)):
            if port not in self.ports and is_free(port):
                return port
        raise UserError(f"KPI_WEB_PORT={self._first_port}: there is no free port from there on")

    def _log(self, port: int) -> Path:
        return self._directory / f"worker-{port}.log"

    def _order(self, port: int) -> Order:
        return Order(
            argv=(sys.executable, "-m", "faust", "-A", "kpi_app", "worker", "-l", "info"),
            log=self._log(port),
            cwd=self._directory,  # no .env of the user's: all settings are given
            stages=_STAGES,
            env={**base_environment(), **self._env, "KPI_WEB_PORT": str(port), "PYTHONUNBUFFERED": "1"},
        )
