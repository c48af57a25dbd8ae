"""Files: what can be shipped, and in which order."""

import os
from itertools import permutations
from pathlib import Path

import pytest

from kpi_app.errors import UserError
from kpi_app.sources.files import family, oldest_first, siblings


def make(directory: Path, names: list[str], mtimes: list[float] | None = None) -> list[Path]:
    """Files of these names, written at these times."""
    paths = [directory / name for name in names]
    for path, mtime in zip(paths, mtimes or range(len(paths)), strict=True):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x\n")
        os.utime(path, (mtime, mtime))
    return paths


@pytest.mark.parametrize(
    "names",
    [
        ["access.log.10.gz", "access.log.2.gz", "access.log.1", "access.log"],
        ["access.log-20231231.gz", "access.log-20240101", "access.log"],
        ["access-2023-12-31.log", "access-2024-01-01.log"],
        ["access.log.2024-01-01.2.gz", "access.log.2024-01-01.1", "access.log"],
    ],
)
def test_rotated_set_goes_by_its_names(tmp_path: Path, names: list[str]) -> None:
    """Numbers fall and dates rise towards the file that is written now, even if a copy gave all the same time."""
    for order in permutations(range(len(names))):
        paths = make(tmp_path, names, [100.0] * len(names))
        assert [path.name for path in oldest_first([paths[i] for i in order])] == names


def test_sets_go_by_their_times(tmp_path: Path) -> None:
    """Of two logs, what was written earlier goes first, with each set in its own order.

    a.log.1 [--10)   b.log.1 [----20)   a.log [------30)   b.log [--------40)
    """
    names = ["a.log.1", "b.log.1", "a.log", "b.log"]
    paths = make(tmp_path, names, [10, 20, 30, 40])
    assert [path.name for path in oldest_first(sorted(paths))] == names


def test_same_file_goes_once(tmp_path: Path) -> None:
    """Two names of one file, or the same name twice, are one file."""
    (path,) = make(tmp_path, ["access.log"])
    link = tmp_path / "link.log"
    link.symlink_to(path)
    assert oldest_first([path, path, link]) == [path]


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("access.log", "access.log"),
        ("access.log.1", "access.log"),
        ("access.log.12.gz", "access.log"),
        ("access.log-20240101.gz", "access.log"),
        ("access.log-20240101-1704067200.gz", "access.log"),
        ("other.log.1", "other.log"),
        ("1", "1"),
        (".gz", ".gz"),
    ],
)
def test_family_is_the_name_before_rotation(name: str, of: str) -> None:
    """What logrotate appended goes."""
    assert family(Path("/var/log") / name) == Path("/var/log") / of


def test_siblings_are_the_rotated_set(tmp_path: Path) -> None:
    """Files of other logs are not among them, directories neither."""
    make(tmp_path, ["access.log", "access.log.1", "access.log.2.gz", "access.logs", "error.log"])
    (tmp_path / "access.log.3").mkdir()
    assert {path.name for path in siblings(tmp_path / "access.log")} == {
        "access.log",
        "access.log.1",
        "access.log.2.gz",
    }


def test_what_cant_be_shipped_says_why(tmp_path: Path) -> None:
    """A missing file, a directory, a pipe and other compressions: one line that names the file."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.xz").write_bytes(b"\xfd7zXZ\x00\x00")
    (tmp_path / "a.zst").write_bytes(b"\x28\xb5\x2f\xfd\x00")
    for name, reason in {
        "none": "No such file",
        ".": "directory",
        "pipe": "regular",
        "a.xz": "xz",
        "a.zst": "zstd",
    }.items():
        with pytest.raises(UserError, match=reason) as error:
            oldest_first([tmp_path / name])
        assert str(tmp_path) in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_says_why(tmp_path: Path) -> None:
    """Without the right to read there is one clear line."""
    (path,) = make(tmp_path, ["access.log"])
    path.chmod(0)
    with pytest.raises(UserError, match="Permission denied"):
        oldest_first([path])
