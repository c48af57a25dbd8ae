"""A full disk is full."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import disks
from tests.chaos.disks import Disk

_APPENDS = """
import sys
with open(sys.argv[1], "ab", buffering=0) as file:
    for line in sys.stdin:
        try:
            file.write(line.encode())
        except OSError as error:
            print(error.errno, flush=True)
        else:
            print("written", flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a running process can't be limited from outside")
@pytest.mark.parametrize("mounted", [True, False])
def test_a_full_disk_takes_nothing_until_it_is_freed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounted: bool
) -> None:
    """Also where no file system can be mounted; then a process has to be started anew."""
    if mounted and not disks.can_mount():
        pytest.skip("nobody but root mounts file systems")
    if not mounted:
        monkeypatch.setattr(disks, "can_mount", lambda: False)
    monkeypatch.setattr(disks, "_SIZE", 8 << 20)
    disk = Disk(tmp_path / "disk")
    if mounted and disk.kind != "tmpfs":
        disk.remove()
        pytest.skip("even root may not mount here")
    try:
        with _appending(disk) as process:
            assert _append(process) == "written"
            disk.fill(process.pid)
            assert _append(process) == str(errno.ENOSPC if mounted else errno.EFBIG)
            disk.free()
        with _appending(disk) as process:
            assert _append(process) == "written"
    finally:
        disk.remove()
    assert not disk.directory.exists()


def _appending(disk: Disk) -> subprocess.Popen[str]:
    argv = (sys.executable, "-c", _APPENDS, str(disk.directory / "file"))
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _append(process: subprocess.Popen[str]) -> str:
    assert process.stdin
    assert process.stdout
    process.stdin.write("x" * 8_191 + "\n")  # whole pages: what is left of one is still there on a full disk
    process.stdin.flush()
    return process.stdout.readline().strip()
