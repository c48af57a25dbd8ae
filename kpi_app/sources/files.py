"""Files: which ones can be shipped, and which is older."""

import contextlib
import os
import re
import stat
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from kpi_app.errors import UserError

#: What logrotate adds: a date or a number or both, at the end or before `.log`, and then the compression.
_DATE = r"\d{4}-?\d{2}-?\d{2}(?:[T_-]?\d{2,10})?"
_ROTATED = re.compile(
    rf"(?P<stem>.+?)(?:[.-](?P<date>{_DATE}))?(?:\.(?P<number>\d{{1,5}}))?(?P<extension>\.log)?(?:\.gz)?", re.DOTALL
)

_GZIP = b"\x1f\x8b"
_UNREADABLE = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}


class Identity(NamedTuple):
    """What stays the same when a file is renamed."""

    device: int
    inode: int


class _Age(NamedTuple):
    """Sorts the files of one rotated set, oldest first."""

    undated: bool  # a file without a date is the one that is written now
    date: str
    newness: int  # access.log.2 is older than access.log.1, that one older than access.log


def identity_of(path: Path) -> Identity | None:
    """The identity of what `path` names now; None where there is nothing."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return Identity(found.st_dev, found.st_ino)


def family(path: Path) -> Path:
    """The name that a rotated file had while it was written: of `access.log.2.gz`, `access.log`."""
    return path.with_name(_split(path)[0])


def siblings(path: Path) -> dict[Path, Identity]:
    """The files of the same rotated set in the same directory, `path` among them; no rename cut through this look."""
    before, found = None, _listed(path)
    while found != before:
        before, found = found, _listed(path)
    return found


def _listed(path: Path) -> dict[Path, Identity]:
    of = family(path)
    found: dict[Path, Identity] = {}
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:  # a directory that is gone holds nothing
        for entry in entries:
            if family(Path(entry.path)) == of and entry.is_file():
                with contextlib.suppress(FileNotFoundError):  # renamed meanwhile: the next look differs
                    status = entry.stat()
                    found[Path(entry.path)] = Identity(status.st_dev, status.st_ino)
    return found


def rotated(path: Path) -> dict[Path, Identity]:
    """The other files of the set, oldest first; without those that are being compressed from one of them."""
    found = siblings(path)
    whole = (
        other for other in found if other != path and not (other.suffix == ".gz" and other.with_suffix("") in found)
    )
    return {other: found[other] for other in sorted(whole, key=_age)}


def present(paths: Iterable[Path]) -> list[Path]:
    """The paths but for those whose file was just rotated away: a new one is about to come."""
    return [path for path in paths if path.exists() or not rotated(path)]


def is_gzip(descriptor: int) -> bool:
    """Whether an open file is gzip: by what it holds, as rotation may give it any name."""
    return os.pread(descriptor, len(_GZIP), 0) == _GZIP


def check(path: Path) -> os.stat_result:
    """What there is to know about a file. Raises `UserError` where it can't be shipped."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise UserError(f"{path} is a directory: name the files in it")
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"{path} is not a regular file")
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    for magic, name in _UNREADABLE.items():
        if start.startswith(magic):
            raise UserError(f"{path} is compressed with {name}: unpack it first, only gzip is read")
    return found


def oldest_first(paths: Iterable[Path]) -> list[Path]:
    """Each file once, however it is named, in the order of its lines' times.

    Within a rotated set the names tell the order (copying a set gives its files any modification time);
    between sets the modification time does. Raises `UserError` for a file that can't be shipped.
    """
    unique: dict[Identity, tuple[Path, float]] = {}
    for path in paths:
        found = check(path)
        unique.setdefault(Identity(found.st_dev, found.st_ino), (path, found.st_mtime))
    sets: dict[Path, list[tuple[Path, float]]] = {}
    for path, written_s in sorted(unique.values(), key=lambda each: _age(each[0])):
        sets.setdefault(family(Path(os.path.abspath(path))), []).append((path, written_s))
    dated = [each for members in sets.values() for each in _dated(members)]
    return [path for path, _ in sorted(dated, key=lambda each: each[1])]


def _dated(members: list[tuple[Path, float]]) -> list[tuple[Path, float]]:
    """The files of a set, oldest first, each with a time that is never after that of a newer one."""
    newest_first = members[::-1]
    times_s = accumulate((written_s for _, written_s in newest_first), min)
    return [(path, time_s) for (path, _), time_s in zip(newest_first, times_s, strict=True)][::-1]


def _split(path: Path) -> tuple[str, str, int]:
    match = _ROTATED.fullmatch(path.name)
    if match is None:  # no name at all
        return path.name, "", 0
    return match["stem"] + (match["extension"] or ""), match["date"] or "", int(match["number"] or 0)


def _age(path: Path) -> _Age:
    _, date, number = _split(path)
    return _Age(not date, date, -number)
