"""Tail: whole lines out of a file, plain or gzip, from a byte on, in bounded memory."""

import contextlib
import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kpi_app.errors import UserError
from kpi_app.feeds.envelope import MAX_LINE_BYTES
from kpi_app.sources.files import Identity, is_gzip

#: How much is read at once, and so the size of a block. No more than a line may have: only the first can be longer.
BLOCK_BYTES = 256 * 1024
#: The lines that end in such a stretch of a file go to one partition of Kafka, whenever they are sent. As long as a
#: block, since a read ends where a span does: the lines of a block end in one.
SPAN_BYTES = BLOCK_BYTES
#: How many of its first bytes tell a file from another one in the same inode.
HEAD_BYTES = 1024
#: How much of a compressed file is skipped in one go: some 50 ms.
_SKIP_BYTES = 16 * 1024 * 1024


class Block(NamedTuple):
    """Lines that follow each other in a file."""

    #: The first line's first byte; in the uncompressed stream where the file is compressed.
    offset: int
    #: Without their newlines. A line longer than `MAX_LINE_BYTES` is cut to it and the only one of its block.
    lines: list[bytes]
    #: The byte after the last line, and its newline.
    end: int
    #: How many bytes of the file on disk this took.
    disk_bytes: int

    @property
    def span(self) -> int:
        """Which of the file's spans of `SPAN_BYTES` its last line ends in: what goes where in Kafka goes by it."""
        return (self.end - 1) // SPAN_BYTES

    def portions(self, lines: int | None) -> Iterator["Block"]:
        """The same in blocks of no more than `lines` lines, of which each ends all of its lines in one span."""
        if (lines is None or len(self.lines) <= lines) and self.offset + len(self.lines[0]) >= self.span * SPAN_BYTES:
            yield self
            return
        first, begins = 0, self.offset
        offset = begins
        for number, line in enumerate(self.lines):
            newline = offset + len(line)
            if number > first and (number - first == lines or newline // SPAN_BYTES > (offset - 1) // SPAN_BYTES):
                yield Block(begins, self.lines[first:number], offset, 0)
                first, begins = number, offset
            offset = newline + 1
        yield Block(begins, self.lines[first:], self.end, self.disk_bytes)


class Tail:
    """An open file that is read line by line, wherever it is renamed to.

    `written_as` is the path that its lines were written to, if that isn't `path`.
    Raises `UserError`, from any method, for a file that can't be read or is damaged gzip.
    """

    def __init__(self, path: Path, written_as: Path | None = None) -> None:
        self.path = path
        #: What its lines' `path` says; stays the same when the file is renamed.
        self.name = os.path.abspath(written_as or path)
        #: What its lines' `file` says: tells it from all other files, whatever their inodes. See `Positions`.
        self.file = ""
        #: What its lines' `host` says: where it was named.
        self.host = ""
        try:
            self._raw = path.open("rb", buffering=0)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from error
        found = os.fstat(self._raw.fileno())
        self.identity = Identity(found.st_dev, found.st_ino)
        self.is_gzip = is_gzip(self._raw.fileno())
        self._stream = gzip.GzipFile(fileobj=self._raw) if self.is_gzip else self._raw
        self._head = b""
        self._restart()
        try:
            self._head = self._read(HEAD_BYTES)
            self._seek(0)
        except UserError:
            self.close()
            raise

    def _restart(self) -> None:
        self._offset = 0  # of the line that comes next
        self._pending = b""  # what is there of it, up to MAX_LINE_BYTES
        self._pending_bytes = 0  # and how long that is really
        self._unread = b""  # read from the stream, but not looked at yet
        self._disk_bytes = 0

    @property
    def size(self) -> int:
        """The size on disk now, bytes."""
        return os.fstat(self._raw.fileno()).st_size

    def head(self, size: int) -> bytes:
        """The first bytes of the stream, `HEAD_BYTES` at most."""
        if not self.is_gzip and len(self._head) < size and not self._raw.closed:
            now = os.pread(self._raw.fileno(), HEAD_BYTES, 0)
            if now.startswith(self._head):
                self._head = now
        return self._head[:size]

    def skip(self, offset: int) -> Iterator[None]:
        """Go on at a byte of the stream.

        Yields now and then on the way there, which is long in a compressed file: it has to be unpacked.
        """
        if offset == 0:
            return
        goal = offset - 1
        while self.is_gzip and goal - self._stream.tell() > _SKIP_BYTES:
            self._seek(self._stream.tell() + _SKIP_BYTES)
            yield
        self._seek(goal)
        before, after = self._read(1), self._read(1)
        # A last line was sent without its newline, which has come since: it ends that line, it begins none.
        ends_line = before != b"\n" and after == b"\n"
        self._offset = offset + 1 if ends_line else offset
        self._unread = b"" if ends_line else after

    def read(self) -> Block | None:
        """The next whole lines; None when there are none yet."""
        while data := self._next():
            if block := self._cut(data):
                return block
        return None

    def rest(self) -> Block | None:
        """The last line, which has no newline; None when there is none. Nothing can be read after it."""
        if not self._pending_bytes:
            return None
        end = self._offset + self._pending_bytes
        return self._block([self._pending], end, b"")

    def is_replaced(self) -> bool:
        """Whether other content has taken the place of what was read: `copytruncate`.

        Asked after a read it is about that one, too: what was read of the old content before the cut may be called
        replaced, what was read of the new one never passes as the old one's. But for content that begins with the
        same bytes, all of `HEAD_BYTES` or as many as were there, and is as long by now: nothing tells that.
        """
        if self.is_gzip:
            return False
        head = os.pread(self._raw.fileno(), HEAD_BYTES, 0)
        if not head.startswith(self._head) or self.size < self._raw.tell():
            return True
        self._head = head
        return False

    def reopen(self) -> None:
        """Begin anew with the content that is there now."""
        self._head = b""
        self._seek(0)
        self._restart()

    def close(self) -> None:
        """Let go of the file. Its head still is known."""
        self.head(HEAD_BYTES)
        self._stream.close()
        self._raw.close()

    def take_disk_bytes(self) -> int:
        """How many bytes on disk were read, or skipped, since the last call."""
        before, self._disk_bytes = self._disk_bytes, self._raw.tell()
        return max(0, self._disk_bytes - before)

    def _read(self, size: int) -> bytes:
        with self._readable():
            return self._stream.read(size) or b""

    def _seek(self, offset: int) -> None:
        with self._readable():
            self._stream.seek(offset)

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"{self.path} is damaged: {error}") from error
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}") from error

    def _next(self) -> bytes:
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        begins = self._stream.tell()
        data = self._read(BLOCK_BYTES - begins % BLOCK_BYTES)
        if begins <= len(self._head) < HEAD_BYTES:  # as it was read: a later look may find other content there
            self._head += data[len(self._head) - begins : HEAD_BYTES - begins]
        return data

    def _cut(self, data: bytes) -> Block | None:
        """Up to the last newline; the rest is kept for what comes."""
        first = data.find(b"\n")
        if first < 0:
            self._hold(data)
            return None
        if self._pending_bytes + first > MAX_LINE_BYTES:
            self._hold(data[:first])
            return self._block([self._pending], self._offset + self._pending_bytes + 1, data[first + 1 :])
        last = data.rfind(b"\n")
        whole = self._pending + data[:last]
        return self._block(whole.split(b"\n"), self._offset + len(whole) + 1, data[last + 1 :])

    def _hold(self, data: bytes) -> None:
        self._pending += data[: MAX_LINE_BYTES - len(self._pending)]
        self._pending_bytes += len(data)

    def _block(self, lines: list[bytes], end: int, unread: bytes) -> Block:
        block = Block(self._offset, lines, end, self.take_disk_bytes())
        self._offset = end
        self._pending = b""
        self._pending_bytes = 0
        self._unread = unread
        return block
