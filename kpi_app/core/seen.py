"""Seen: which bytes of which files have come, so that a line that was sent twice before Kafka is known again.

    file         0        400       900          1500
    arrived      [---------)         [------------)        every line that came, by the bytes that it takes
    refused           [--)                                 those of them that were rejected, and so count nowhere
    seen         a line that begins in arrived and not in refused: it is in the books already

The bytes of a file never change (a file whose bytes did is another one, by another name), so where a line begins says
which line it is. All is decided in the order of the partition's offsets; where a batch ends does not matter. Memory is
bounded by forgetting: what is forgotten is not known again, and never is a line taken for another.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import cramjam
import numpy as np
import orjson
import polars as pl

from kpi_app.core.ranges import Flags, Numbers, Ranges

#: Files of a partition that are remembered: of more, those that brought no line for the longest are forgotten.
MAX_FILES = 1_024

#: Stretches of a file that are remembered, and as many of rejected lines: of more, the first ones are forgotten.
MAX_RANGES = 1_024

#: Forgetting is done where the partition's offset enters the next block of so many: a replay does it at the same line.
FORGET_BLOCK = 4_096

#: What the keys of files begin with in the table and in its changelog; no segment's does.
PREFIX = b"seen/"

#: First byte of an encoded file.
FORMAT = 1


class File(NamedTuple):
    """Which file a line is from."""

    #: 16 bytes that stand for host, path and name in full.
    key: bytes
    #: As they are shown, cut and safe: two files may look the same.
    host: str
    path: str
    name: str


def table_key(key: bytes) -> bytes:
    """A file's key as the table and its changelog hold it; readable, for those who look into either."""
    return PREFIX + key.hex().encode()


@dataclass(frozen=True)
class Places:
    """Where the lines of a batch are from.

    `lines`: `file` (Int64: which of `files`, null where the line's record does not say), `start` (Int64: the line's
    first byte in its file) and `end` (Int64, above `start`: the first byte behind it and its line end).
    """

    files: Sequence[File]
    lines: pl.DataFrame


@dataclass
class SeenFile:
    """What has come of a file. Once it is handed out it is not changed any more."""

    file: File
    #: Offset in the partition of its latest line that was no duplicate.
    touched: int
    #: First byte of all lines, and the first one behind them.
    first: int
    end: int
    #: What begins before it is forgotten: its lines are counted whenever they come, and leave no trace.
    floor: int = 0
    #: Bytes before the floor that had come when it was forgotten.
    below: int = 0
    arrived: Ranges = field(default_factory=Ranges)
    refused: Ranges = field(default_factory=Ranges)

    @property
    def missing_bytes(self) -> int:
        """Bytes between its first line and its last that have not come in this partition."""
        return self.end - self.first - self.below - self.arrived.size()

    def copy(self) -> "SeenFile":
        """The same, to be changed."""
        changed = SeenFile(self.file, self.touched, self.first, self.end, self.floor, self.below)
        changed.arrived, changed.refused = self.arrived.copy(), self.refused.copy()
        return changed

    def encode(self) -> bytes:
        """A format byte, then JSON, compressed by zstd: the same bytes for the same file."""
        body = {
            "file": [self.file.key.hex(), *self.file[1:]],
            "at": [self.touched, self.first, self.end, self.floor, self.below],
            "arrived": _gaps(self.arrived),
            "refused": _gaps(self.refused),
        }
        return bytes([FORMAT]) + bytes(cramjam.zstd.compress(orjson.dumps(body), level=1))

    @classmethod
    def decode(cls, data: bytes) -> "SeenFile":
        """What `encode` made. Raises `ValueError` when it is of a later version."""
        if data[:1] != bytes([FORMAT]):
            raise ValueError(f"file format {data[:1]!r} is not one that this version of kpi_app reads ({FORMAT})")
        body: Any = orjson.loads(bytes(cramjam.zstd.decompress(data[1:])))
        key, *names = body["file"]
        touched, first, end, floor, below = body["at"]
        arrived, refused = _ranges(body["arrived"]), _ranges(body["refused"])
        return cls(File(bytes.fromhex(key), *names), touched, first, end, floor, below, arrived, refused)


def _gaps(ranges: Ranges) -> list[int]:
    """The borders, each as its distance from the one before: small numbers, which compress well."""
    borders = [border for each in ranges for border in each]
    return [after - before for before, after in pairwise([0, *borders])]


def _ranges(gaps: Sequence[int]) -> Ranges:
    borders = np.cumsum(np.array(gaps, np.int64)).tolist()
    return Ranges(borders[::2], borders[1::2])


@dataclass(frozen=True)
class Told:
    """What was found of a batch: which lines are duplicates, and what is remembered from now on."""

    duplicates: pl.Series
    changed: dict[bytes, SeenFile]
    forgotten: frozenset[bytes]


def tell(places: Places, offset: pl.Series, accepted: pl.Series, seen: Mapping[bytes, SeenFile]) -> Told:
    """Tell the lines that are in the books already from those that are new.

    `offset` (Int64, ascending) and `accepted` (Boolean) are of the lines of `places`, in the same order. `seen`: what
    is remembered of the offsets before, by the files' keys; it is not changed.
    """
    known = places.lines["file"].is_not_null()
    rows = np.flatnonzero(known.to_numpy())
    lines = places.lines if known.all() else places.lines.filter(known)
    at, where = offset.filter(known).to_numpy(), lines["file"].to_numpy()
    duplicates = np.zeros(len(known), np.bool_)
    order = np.lexsort((where, at // FORGET_BLOCK))  # stable: of each file the lines keep their order
    run = _Runs(at[order], where[order], *(lines[name].to_numpy()[order] for name in ("start", "end")))
    ok = accepted.filter(known).to_numpy()[order]
    memory = _Memory(seen)
    for low, high in run.borders(ok):
        memory.enter(int(run.at[low]) // FORGET_BLOCK)
        here = memory.take(
            places.files[run.file[low]], run.at[low:high], run.start[low:high], run.end[low:high], ok[low]
        )
        duplicates[rows[order[low:high]]] = here
    return Told(pl.Series("duplicate", duplicates), *memory.outcome())


class _Runs(NamedTuple):
    """Lines by block of offsets and by file."""

    at: Numbers
    file: Numbers
    start: Numbers
    end: Numbers

    def borders(self, ok: Flags) -> Iterator[tuple[int, int]]:
        """Runs of lines that follow each other in one file and in one block, all accepted or all rejected."""
        block = self.at // FORGET_BLOCK
        goes_on = (self.start[1:] == self.end[:-1]) & (ok[1:] == ok[:-1])
        goes_on &= (self.file[1:] == self.file[:-1]) & (block[1:] == block[:-1])
        breaks = np.flatnonzero(~goes_on) + 1
        return pairwise([0, *breaks.tolist(), len(ok)]) if len(ok) else iter(())


class _Memory:
    """The files of a partition while a batch goes by."""

    def __init__(self, seen: Mapping[bytes, SeenFile]) -> None:
        self._before = seen
        self._files = dict(seen)
        self._changed: set[bytes] = set()
        self._block = max((each.touched for each in seen.values()), default=0) // FORGET_BLOCK

    def enter(self, block: int) -> None:
        """Before the first line of a later block of offsets, forget what is too much."""
        if block <= self._block:
            return
        self._block = block
        for key, each in self._files.items():
            if len(each.arrived) > MAX_RANGES or len(each.refused) > MAX_RANGES:
                _forget_first(self._writable(key))
        latest = sorted(self._files, key=lambda key: self._files[key].touched)
        for key in latest[: max(0, len(latest) - MAX_FILES)]:
            del self._files[key]

    def take(self, file: File, at: Numbers, start: Numbers, end: Numbers, ok: bool) -> Flags:
        """Take in lines that follow each other in a file; returns which are duplicates."""
        known = self._files.get(file.key)
        duplicates = np.zeros(len(at), np.bool_)
        if known is None:
            known = self._files[file.key] = SeenFile(file, int(at[0]), int(start[0]), int(start[0]))
        elif known.arrived.meets(int(start[0]), int(end[-1])):
            duplicates = known.arrived.holds(start) & ~known.refused.holds(start)
        fresh = np.flatnonzero(~duplicates)
        if len(fresh):
            mine = self._writable(file.key)
            mine.touched = max(mine.touched, int(at[fresh[-1]]))
            kept = fresh[start[fresh] >= mine.floor]
            for some in np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1) if len(kept) else ():
                _take_in(mine, int(start[some[0]]), int(end[some[-1]]), ok)
        return duplicates

    def outcome(self) -> tuple[dict[bytes, SeenFile], frozenset[bytes]]:
        """The files that changed, and the keys of those that are forgotten."""
        changed = {key: self._files[key] for key in self._changed if key in self._files}
        return changed, frozenset(self._before.keys() - self._files.keys())

    def _writable(self, key: bytes) -> SeenFile:
        if key not in self._changed:
            self._changed.add(key)
            self._files[key] = self._files[key].copy()
        return self._files[key]


def _take_in(file: SeenFile, start: int, end: int, ok: bool) -> None:
    file.first, file.end = min(file.first, start), max(file.end, end)
    file.arrived.add(start, end)
    (file.refused.remove if ok else file.refused.add)(start, end)


def _forget_first(file: SeenFile) -> None:
    """Move the floor up to where few enough stretches are left."""
    if len(file.arrived) > MAX_RANGES:
        file.floor = max(file.floor, file.arrived.starts[-MAX_RANGES])
    if len(file.refused) > MAX_RANGES:
        file.floor = max(file.floor, file.refused.ends[-MAX_RANGES - 1])
    before = file.arrived.size()
    for ranges in (file.arrived, file.refused):
        ranges.remove(-1, file.floor)
    file.below += before - file.arrived.size()
