"""Workers of the demo: real `faust worker` processes that end with it, even when it is killed."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from kpi_app.errors import UserError
from kpi_app.local.kept import Kept, Order, Stage, base_environment, tail
from kpi_app.local.ports import is_free

#: A worker checkpoints and flushes before it ends.
_STAGES = (Stage(signal.SIGTERM, 8.0),)


class Workers:
    """A number of workers with the same settings, each with a web port of its own."""

    def __init__(self, count: int, env: Mapping[str, str], directory: Path, first_port: int) -> None:
        self.ports = _free_ports(count, first_port)
        self._logs = [directory / f"worker-{port}.log" for port in self.ports]
        self._env = env
        self._directory = directory
        self._kept: list[Kept] = []

    def __enter__(self) -> Self:
        for port, log in zip(self.ports, self._logs, strict=True):
            self._kept.append(Kept(self._order(port, log)))
        return self

    def __exit__(self, *exc: object) -> None:
        for worker in self._kept:
            worker.ask_to_stop()
        for worker in self._kept:
            worker.stop()

    def check(self) -> None:
        """Raise `UserError`, with the end of its log, when a worker has ended by itself."""
        for worker, log in zip(self._kept, self._logs, strict=True):
            if worker.exit_code is not None:
                raise UserError(f"a worker ended with exit code {worker.exit_code}; the end of its log:\n{tail(log)}")

    def _order(self, port: int, log: Path) -> Order:
        return Order(
            argv=(sys.executable, "-m", "faust", "-A", "kpi_app", "worker", "-l", "info"),
            log=log,
            cwd=self._directory,  # no .env of the user's: all settings are given
            stages=_STAGES,
            env={**base_environment(), **self._env, "KPI_WEB_PORT": str(port), "PYTHONUNBUFFERED": "1"},
        )


def _free_ports(count: int, first: int) -> list[int]:
    ports = [port for port in range(first, min(first + 1_000, 65_536)) if is_free(port)][:count]
    if len(ports) < count:
        raise UserError(f"KPI_WEB_PORT={first}: no {count} free ports from there on")
    return ports
