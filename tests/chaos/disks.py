"""Disks of workers, which can be full: a tmpfs each where we may mount one, else a limit on the size of files."""

import errno
import os
import resource
import shutil
import subprocess
from pathlib import Path

#: Far more than the tables of a run take.
_SIZE = 192 << 20
_BLOCK = bytes(1 << 20)


def can_mount() -> bool:
    """Whether disks are file systems of their own."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


class Disk:
    """An empty disk at `directory`, made with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._filler = directory / "filler"
        directory.mkdir(parents=True)
        self._mounted = can_mount() and _run("mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=700", "kpi", directory)

    @property
    def kind(self) -> str:
        """How it becomes full."""
        return "tmpfs" if self._mounted else "RLIMIT_FSIZE"

    def fill(self, pid: int) -> None:
        """From now on the process at `pid` finds no room on it."""
        if not self._mounted:
            # Files may not grow past this: as a full disk, but for new small files.
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            return
        # Without a buffer, which would still hold some when there is no room for it.
        with self._filler.open("wb", buffering=0) as file:
            for size in (len(_BLOCK), 4096, 1):
                _write_until_full(file.fileno(), _BLOCK[:size])

    def free(self) -> None:
        """There is room again; a process under a limit has to be started anew."""
        self._filler.unlink(missing_ok=True)

    def remove(self) -> None:
        """Take it away with all that is on it."""
        if self._mounted:
            _run("umount", "--lazy", self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)


def _write_until_full(file: int, block: bytes) -> None:
    try:
        while True:
            os.write(file, block)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def _run(*command: str | Path) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
