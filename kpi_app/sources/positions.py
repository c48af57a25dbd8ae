"""Positions: how far each file was shipped, kept over restarts.

One JSON file in the data directory, replaced as a whole about once a second, after Kafka acknowledged the
lines: what a crash leaves out of it is sent once more (at least once, never less). A file is known by its
device, inode and first bytes, so that a renamed one goes on where it was and a new one in an old inode
starts at its beginning; `access.log.2.gz` goes on where the file that it was made of stopped.

Here a file gets the name, made at random, that its lines carry as their `file`: it is written down before the first of
them is sent. What a crash has sent twice has it twice, and other content never has it, as long as files are only ever
appended to. After a power cut a file may lack what was sent of it: a name is not used after the boot it was made in.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import socket
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import orjson

from kpi_app.errors import UserError
from kpi_app.sources.files import Identity, family, rotated, siblings
from kpi_app.sources.tail import HEAD_BYTES, Block, Tail

log = logging.getLogger(__name__)

#: More files than this are remembered by nobody: the ones that were shipped longest ago are forgotten.
_MAX_FILES = 10_000
#: Where Linux says which boot this is, and who says so on macOS: by its full path, nobody else's program.
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ASK_BOOT_ID = ("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid")


@dataclass(frozen=True)
class Entry:
    """A file that was shipped up to `offset`, a byte of its (uncompressed) stream."""

    device: int
    inode: int
    name: str  # the `path` of its lines
    offset: int
    head: str  # hash of its first bytes
    #: Of how many; -1 for as many as the offset has, up to HEAD_BYTES.
    head_bytes: int = -1
    file: str = ""  # the `file` of its lines; none where an earlier version wrote this
    host: str = ""  # and their `host`, which a container changes with each start
    boot: str = ""  # of the machine, when that name was made

    @property
    def identity(self) -> Identity:
        """Which file, as long as it exists; then its inode may be another one's."""
        return Identity(self.device, self.inode)

    @property
    def known_bytes(self) -> int:
        """How many of its first bytes are known."""
        return min(self.offset, HEAD_BYTES) if self.head_bytes < 0 else self.head_bytes

    def is_of(self, tail: Tail) -> bool:
        """Whether the file begins with what was shipped."""
        return _hash(tail, self.known_bytes) == self.head

    def is_safe_for(self, tail: Tail) -> bool:
        """Whether lines of the file may go on under the name: nothing else can have come where some were sent before.

        A copy under the name of the original may be a backup, which lacks what was sent since it was made.
        """
        is_whole = self.identity == tail.identity or os.path.abspath(tail.path) != self.name
        return bool(self.file) and self.boot == boot() and is_whole


class Positions:
    """The positions of one topic. A context manager: it holds a lock, as two writers would undo each other.

    `directory` is made when it isn't there; `cluster` and `topic` tell what the positions are about: another
    topic gets every file from its start. Raises `UserError` when another process has the lock, or when the
    directory can't be written to.
    """

    def __init__(self, directory: Path, cluster: str, topic: str) -> None:
        self._path = directory / "ship.json"
        self._about = f"{cluster}/{topic}"
        self._changed = False

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._path.with_suffix(".lock").open("w")
        except OSError as error:
            raise UserError(f"{self._path.parent}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._load()
        except BlockingIOError as error:
            self._lock.close()
            raise UserError(
                f"another process ships with the data directory {self._path.parent}: "
                "name all files in one command, or set another KPI_DATA_DIR"
            ) from error
        except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
            self._lock.close()
            raise UserError(f"{self._path} can't be read ({error}); without it every file is shipped anew") from error
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.save()
        finally:
            self._lock.close()

    def _load(self) -> None:
        self._all: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError):
            self._all = orjson.loads(self._path.read_bytes())
        about = self._all.get(self._about, {"files": [], "ends": {}})
        #: Of each partition, the offset after the last acknowledged line.
        self.ends: dict[int, int] = {int(partition): end for partition, end in about["ends"].items()}
        self._entries = [Entry(**each) for each in about["files"]]
        self._open: dict[Tail, Entry] = {}  # taken out of those by `resume`

    def forget(self) -> None:
        """Start every file at its beginning: the topic doesn't hold any more what was acknowledged."""
        self._entries.clear()
        self.ends.clear()

    def resume(self, tail: Tail) -> int:
        """The byte at which the file goes on, and the name that its lines have had so far."""
        entry = self._find(tail)
        if entry is None:
            return 0
        self._entries.remove(entry)
        self._open[tail] = entry
        tail.name = entry.name
        tail.file, tail.host = (entry.file, entry.host) if entry.is_safe_for(tail) else ("", "")
        return entry.offset

    def name(self, tail: Tail, first: Block) -> None:
        """Name a file that has no name, before its lines are sent: `first` is the first block of them."""
        if tail.file:
            return
        tail.file, tail.host = uuid4().hex, socket.gethostname() or "localhost"
        self._enter(tail, first.offset, min(first.end, HEAD_BYTES))
        self.save()

    def _find(self, tail: Tail) -> Entry | None:
        entry = self._matching(tail, self._entries)
        if entry is None or entry.identity != tail.identity or tail.is_gzip or entry.offset <= tail.size:
            return entry
        log.warning("%s is shorter than what was read of it: reading it from its start", tail.path)
        self._entries.remove(entry)
        return None

    def _matching(self, tail: Tail, entries: Sequence[Entry]) -> Entry | None:
        """The entry of the file, or of the one that it is a copy of, mostly a compressed one."""
        of = family(Path(tail.name))
        alike = [entry for entry in reversed(entries) if entry.is_of(tail)]  # the latest first
        for entry in alike:
            if entry.identity == tail.identity:
                return entry
        for entry in alike:
            # Few bytes, or the original still there: it may be another file. Rather twice than not at all.
            is_copy = entry.known_bytes >= HEAD_BYTES and family(Path(entry.name)) == of
            if is_copy and find_renamed(entry) is None:
                return entry
        return None

    def unfinished(self, path: Path) -> list[Path]:
        """Files of the set that may have been renamed before they were read to their end."""
        of = family(Path(os.path.abspath(path)))
        found = [find_renamed(entry) for entry in self._entries if family(Path(entry.name)) == of]
        return [each for each in found if each is not None and each != Path(os.path.abspath(path))]

    def missed(self, path: Path, watched: Iterable[Tail] = ()) -> dict[Path, Identity]:
        """Files that may have come and gone in the place of `path` while nobody looked, oldest first.

        They are the rotated files after the newest one that is known; that one, too, unless this run reads it, or has
        read it to its end, under whatever name. `watched`: what is read now.
        """
        in_hand = [*watched, *self._open]
        unread: list[tuple[Path, Identity]] = []
        for other, identity in reversed(rotated(path).items()):
            with contextlib.suppress(UserError), contextlib.closing(Tail(other)) as tail:
                if any(_is_same(tail, each) for each in in_hand):
                    return dict(reversed(unread))
                if self._matching(tail, self._entries) is not None:
                    return dict(reversed([*unread, (other, identity)]))
            unread.append((other, identity))
        return {}

    def advance(self, tail: Tail, offset: int) -> None:
        """Kafka has the file's lines up to `offset`."""
        known = self._open[tail].head_bytes if tail in self._open else 0
        self._enter(tail, offset, max(known, min(offset, HEAD_BYTES)))

    def _enter(self, tail: Tail, offset: int, head_bytes: int) -> None:
        head = _hash(tail, head_bytes)
        self._open[tail] = Entry(*tail.identity, tail.name, offset, head, head_bytes, tail.file, tail.host, boot())
        self._changed = True

    def restart(self, tail: Tail) -> None:
        """The file's content was replaced by other content: nothing of that was shipped yet."""
        if tail in self._open:
            self._entries.append(self._open.pop(tail))  # the content may live on in a copy
        tail.file = ""

    def save(self) -> None:
        """Write what changed, all or nothing. Raises `UserError` when the disk refuses it."""
        if not self._changed:
            return
        entries = [*self._entries, *self._open.values()][-_MAX_FILES:]
        ends = {str(partition): end for partition, end in self.ends.items()}
        self._all[self._about] = {"files": [asdict(entry) for entry in entries], "ends": ends}
        try:
            _replace(self._path, orjson.dumps(self._all, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise UserError(f"{self._path} can't be written: {error.strerror}") from error
        self._changed = False


@cache
def boot() -> str:
    """What names the time since this machine was started; where it can't be told, since this program was."""
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text().strip()
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        said = subprocess.run(_ASK_BOOT_ID, capture_output=True, check=True, timeout=5)  # noqa: S603  a constant
        return str(UUID(said.stdout.decode().strip()))
    return uuid4().hex


def _hash(tail: Tail, size: int) -> str:
    return hashlib.sha256(tail.head(size)).hexdigest()[:32]


def _is_same(found: Tail, known: Tail) -> bool:
    """Whether a file is the known one, or what gzip made of it."""
    head = found.head(HEAD_BYTES)
    is_it = found.identity == known.identity or (found.is_gzip and head)
    # the first bytes, too: once the known one is gone, its inode may be another file's
    return bool(is_it) and known.head(HEAD_BYTES).startswith(head)


def find_renamed(entry: Entry) -> Path | None:
    """The shipped file itself, under whatever name it has in its directory now."""
    for path, identity in siblings(Path(entry.name)).items():
        if identity == entry.identity:
            with contextlib.closing(Tail(path)) as tail:
                return path if entry.is_of(tail) else None  # None: another file has got the inode
    return None


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".tmp")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # without it a power cut may bring back the file before
    finally:
        os.close(directory)
