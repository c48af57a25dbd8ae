"""One `kpi up` or `kpi demo` at a time in a data directory."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from kpi_app.local.errors import LocalError

# Longer than servers take to stop once whoever ran them was killed: the stages in kafka.py and postgres.py.
_DYING_LIMIT_S = 15.0


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[int]:
    """Holds the directory's lock; yields its descriptor, for the servers' keepers to hold it too.

    The system frees it when the last holder is gone: no crash leaves a lock behind. Waits for the servers of
    a killed run to end; raises `LocalError` when a living one holds the directory.
    """
    descriptor = _open(data_dir)
    try:
        _take(descriptor, data_dir)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _open(data_dir: Path) -> int:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        return os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LocalError(
            f"can't write to {data_dir}: {error.strerror}; mend that, or set KPI_DATA_DIR to another place"
        ) from error


def _take(descriptor: int, data_dir: Path) -> None:
    until = time.monotonic() + _DYING_LIMIT_S
    while not _try(descriptor):
        owner = int(os.pread(descriptor, 32, 0).strip() or 0)
        if lives(owner) or time.monotonic() > until:
            raise LocalError(
                f"{data_dir} is in use by another 'kpi up' or 'kpi demo' (process {owner}): "
                "stop that one, or set KPI_DATA_DIR to another directory"
            )
        time.sleep(0.1)  # flock can't wait with a limit


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lives(pid: int) -> bool:
    """Whether there is such a process."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
