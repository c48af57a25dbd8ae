"""The workers: `faust -A kpi_app worker` processes, and a supervisor that starts again whoever has ended."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

from kpi_app.local.kept import Kept, Order, Stage, base_environment
from kpi_app.local.ports import free_port
from tests.chaos.disks import Disk
from tests.exactness.workers import until

_LOOK_EVERY_S = 0.1
#: As supervisors do: at once, but not in a busy loop.
_RESTART_AFTER_S = 0.5
_STAGES = (Stage(signal.SIGTERM, 15.0),)
#: What a worker says last when it ends itself, and when it can't start.
_LAST_WORD = re.compile(r"worker stops: (.*)")
#: A worker that says so wants a human: in these runs there is never a reason to.
_CRIES = re.compile(r"kpi reset")


class End(NamedTuple):
    """A worker ended by itself."""

    worker: int
    code: int
    said: str

    @property
    def wants_help(self) -> bool:
        """Whether it asked for what no fault of ours makes necessary."""
        return bool(_CRIES.search(self.said))


class Worker:
    """One place for a worker: a web port, a disk, and the process that runs there."""

    def __init__(self, number: int, settings: Mapping[str, str], directory: Path) -> None:
        self.number = number
        self._settings = settings
        self._directory = directory
        self._port = free_port()
        self._starts = self._disks = 0
        self._said = 0
        self._kept: Kept | None = None
        #: Not to be started again.
        self.stopping = False
        self.frozen = False
        self.disk = self._new_disk()

    def start(self) -> None:
        """Start the process; doesn't wait for anything."""
        if self._kept is not None:
            self._kept.stop()  # lets go of one that ended by itself
        self._starts += 1
        self._said = 0
        self.stopping = self.frozen = False
        self._kept = Kept(
            Order(
                argv=(sys.executable, "-m", "faust", "-A", "kpi_app", "worker", "-l", "info"),
                log=self.log,
                cwd=self._directory,  # no .env of the developer's
                stages=_STAGES,
                env={
                    **base_environment(),
                    **self._settings,
                    "KPI_DATA_DIR": str(self.disk.directory),
                    "KPI_WEB_PORT": str(self._port),
                    "PYTHONUNBUFFERED": "1",
                },
            )
        )

    @property
    def log(self) -> Path:
        """What the process says, from this start on."""
        return self._directory / f"worker-{self.number}.{self._starts}.log"

    @property
    def working(self) -> bool:
        """Whether it has taken partitions over, since its start or since it was resumed."""
        if self.exit_code is not None or self.frozen:
            return False
        with self.log.open("rb") as log:
            log.seek(self._said)
            return b" took over " in log.read()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.frozen = True
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT. What it said before does not count for `working` any more."""
        self._said = self.log.stat().st_size
        self.frozen = False
        self.signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        """The process."""
        assert self._kept is not None
        return self._kept.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._kept is None else self._kept.exit_code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended already."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    async def end(self, *, kill: bool, empty_disk: bool = False) -> None:
        """SIGKILL, or SIGTERM; returns when it is gone."""
        assert self._kept is not None
        if empty_disk:
            self.stopping = True  # until it has its new disk
        await asyncio.to_thread(self._kept.kill if kill else self._kept.stop)
        if empty_disk:
            self.disk.remove()
            self.disk = self._new_disk()
            self.stopping = False

    def _new_disk(self) -> Disk:
        self._disks += 1
        return Disk(self._directory / f"disk-{self.number}.{self._disks}")


class Fleet:
    """The workers of a run. `async with` supervises them and ends them at last."""

    def __init__(self, settings: Mapping[str, str], directory: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._number = 0
        #: Ends that nobody asked for.
        self.ends: list[End] = []
        self.workers: list[Worker] = []
        self._retired: list[Worker] = []

    async def __aenter__(self) -> "Fleet":
        self._supervising = asyncio.create_task(self._supervise())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._supervising.cancel()
        for worker in self.workers:
            worker.signal(signal.SIGCONT)
        await asyncio.gather(*(worker.end(kill=True) for worker in self.workers))
        for worker in [*self.workers, *self._retired]:
            worker.disk.remove()

    def add(self) -> Worker:
        """One more worker, on an empty disk."""
        self._number += 1
        worker = Worker(self._number, self._settings, self._directory)
        worker.start()
        self.workers.append(worker)
        return worker

    async def remove(self, worker: Worker) -> None:
        """Stop one in order, for good."""
        worker.stopping = True
        await worker.end(kill=False)
        self.workers.remove(worker)
        self._retired.append(worker)

    async def stop_all(self) -> None:
        """Stop all in order; they stay away until `start_all`."""
        for worker in self.workers:
            worker.stopping = True
        await asyncio.gather(*(worker.end(kill=False) for worker in self.workers))

    def start_all(self) -> None:
        """Start those that were stopped."""
        for worker in self.workers:
            worker.start()

    async def pick(self, pick: Random) -> Worker:
        """One that runs; waits for one where there is none."""

        async def running() -> list[Worker]:
            return [w for w in self.workers if w.exit_code is None and not w.frozen and not w.stopping]

        return pick.choice(await until("a worker that runs", running))

    @property
    def whole(self) -> bool:
        """Whether all workers have their partitions."""
        return all(worker.working for worker in self.workers)

    def check(self) -> None:
        """Raise what went wrong in the supervisor."""
        if self._supervising.done():
            self._supervising.result()

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            gone = [worker for worker in self.workers if worker.exit_code is not None and not worker.stopping]
            for worker in gone:
                self._note(worker)
            if gone:
                await asyncio.sleep(_RESTART_AFTER_S)
            for worker in gone:
                if not worker.stopping and worker.exit_code is not None:
                    worker.start()

    def _note(self, worker: Worker) -> None:
        code = worker.exit_code
        assert code is not None
        if code in (0, 128 + signal.SIGKILL, 128 + signal.SIGTERM):  # asked for
            return
        text = worker.log.read_text(errors="replace").strip()
        last = _LAST_WORD.findall(text) or text.splitlines()[-1:] or ["(nothing)"]
        self.ends.append(End(worker.number, code, last[-1]))
