"""Ship: files' lines go to the raw topic as Fluent Bit would send them; the library behind `kpi ship`.

Every line arrives at least once: positions are written after Kafka's acknowledgement, about once a second,
so that a crash repeats the lines of that second, and loses none. They come with the same `host`, `path`, `file` and
`offset`, and to the same partition, as long as the topic has as many: workers count them once.
"""

import asyncio
import contextlib
import logging
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from kpi_app.errors import UserError
from kpi_app.sources.connection import Connection, Topic, connect, end_offsets
from kpi_app.sources.files import oldest_first, present
from kpi_app.sources.follow import Follower
from kpi_app.sources.outbox import Outbox
from kpi_app.sources.pace import Pace
from kpi_app.sources.positions import Positions
from kpi_app.sources.records import Origin, encode
from kpi_app.sources.tail import Block, Tail

log = logging.getLogger(__name__)

_POLL_S = 0.25
_SAVE_EVERY_S = 1.0
_REPORT_EVERY_S = 0.1
_PATIENCE_S = 60.0
#: On the way out: for acknowledgements of what was sent. Closing the connection takes one more second.
_DRAIN_LIMIT_S = 2.5


@dataclass
class Progress:
    """How far the shipping is. Bytes are those of the files on disk, compressed where they are."""

    bytes_total: int = 0
    bytes_done: int = 0  # acknowledged by Kafka, in earlier runs or in this one
    lines: int = 0  # acknowledged by Kafka in this run
    path: str = ""  # of the file that is being read


async def ship(
    paths: Sequence[Path],
    *,
    connection: Connection,
    topic: str,
    data_dir: Path,
    follow: bool = False,
    rate: float | None = None,
    report: Callable[[Progress], None] | None = None,
) -> Progress:
    """Send the files' lines, oldest file first, from where the last run stopped.

    `connection`: keyword arguments of aiokafka's clients, `bootstrap_servers` and what security needs.
    `data_dir`: `ship.json` in it keeps the positions. `rate`: lines a second at most. `report` is called with
    the progress ten times a second, and at the end. With `follow` it goes on until it is cancelled, through
    rotations, and begins with what was rotated since the last run; a cancellation takes up to four seconds,
    in which what was sent is acknowledged and written down.

    Makes nothing in Kafka. Raises `UserError` for a file that can't be read, for an unknown topic, when Kafka
    can't be reached, and without `follow` when it is away for a minute.
    """
    pace = Pace(rate)
    oldest_first(present(paths) if follow else paths)  # a wrong path shows before Kafka is asked for anything
    async with connect(connection, topic) as (found, producer):
        with Positions(data_dir, found.cluster, topic) as positions:
            await _compare(connection, found, positions)
            outbox = Outbox(producer, found, positions.ends, None if follow else _PATIENCE_S)
            shipper = Shipper(outbox, positions, pace, report)
            await shipper.run(paths, follow)
    return shipper.progress


async def _compare(connection: Connection, topic: Topic, positions: Positions) -> None:
    """Forget the positions in a topic that was made anew since."""
    if not positions.ends:
        return
    now = await end_offsets(connection, topic)
    if any(now.get(partition, 0) < end for partition, end in positions.ends.items()):
        log.warning("topic %s holds less than was sent to it, so it was made anew: shipping all again", topic.name)
        positions.forget()


class Shipper:
    """Carries blocks from tails to the outbox, and keeps the books on the way."""

    def __init__(
        self,
        outbox: Outbox,
        positions: Positions,
        pace: Pace,
        report: Callable[[Progress], None] | None = None,
    ) -> None:
        self.progress = Progress()
        self._outbox = outbox
        self._positions = positions
        self._pace = pace
        self._report = report
        self._started: set[Tail] = set()
        self._saved_s = self._reported_s = float("-inf")

    async def run(self, paths: Sequence[Path], follow: bool) -> None:
        """Ship the files to their ends, or go on with them for ever. Raises as `ship` does."""
        with contextlib.ExitStack() as open_files:
            try:
                # All of them now: later a rotation may have given their paths to others.
                tails = self._open_all(paths, follow, open_files)
                if follow:
                    await self._follow(paths, tails)
                else:
                    for tail in tails:
                        await self._finish(tail)
                await self._outbox.drain()
            finally:
                await self._leave()

    def _open_all(self, paths: Sequence[Path], follow: bool, open_files: contextlib.ExitStack) -> list[Tail]:
        """The files' tails, oldest first; with `follow`, those of what was rotated away unread, too."""
        written_as: dict[Path, Path] = {}
        for path in paths if follow else ():
            left = (*self._positions.unfinished(path), *self._positions.missed(path))
            written_as |= dict.fromkeys(left, path)
        ordered = oldest_first([*(present(paths) if follow else paths), *written_as])
        tails: list[Tail] = []
        for path in ordered:
            tail = Tail(path, None if path in paths else written_as[path])
            tails.append(open_files.enter_context(contextlib.closing(tail)))
            self.progress.bytes_total += tail.size
        return tails

    async def _follow(self, paths: Sequence[Path], tails: Sequence[Tail]) -> None:
        for tail in tails:
            await (self._finish(tail) if tail.is_gzip else self._read(tail))
        compressed = {tail.path for tail in tails if tail.is_gzip}
        plain = [tail for tail in tails if not tail.is_gzip]
        followed = [path for path in paths if path not in compressed]
        follower = Follower(followed, plain, self._positions.missed)
        with contextlib.closing(follower):
            while followed:  # compressed files get no new lines
                await self._look_around(follower)
                await asyncio.sleep(_POLL_S)

    async def _look_around(self, follower: Follower) -> None:
        for tail in follower.poll(time.monotonic()):
            if tail.is_replaced():
                await self._begin_anew(tail)
            if await self._read(tail):
                follower.heard(tail, time.monotonic())
        for tail in follower.retire(time.monotonic()):
            await self._finish(tail)
        self._outbox.settle()
        self._keep_books()

    async def _begin_anew(self, tail: Tail) -> None:
        log.warning("%s was cut by its rotation (copytruncate), which may lose lines: reading its start", tail.path)
        await self._outbox.drain()  # or its old lines' acknowledgements would move the new position
        self._positions.restart(tail)
        tail.reopen()

    async def _finish(self, tail: Tail) -> None:
        """Read the file to its end, where a last line may lack its newline."""
        await self._read(tail)
        if (block := tail.rest()) and not tail.is_replaced():  # else it may be half of each content
            await self._send(tail, block)
        tail.close()

    async def _read(self, tail: Tail) -> int:
        """Send the whole lines that there are; returns their number."""
        await self._resume(tail)
        lines = 0
        while block := tail.read():
            if tail.is_replaced():  # the block may be of the new content, which must not have the old one's name
                await self._begin_anew(tail)
                continue
            await self._send(tail, block)
            lines += len(block.lines)
        return lines

    async def _resume(self, tail: Tail) -> None:
        if tail in self._started:
            return
        self._started.add(tail)
        offset = self._positions.resume(tail)
        for _ in tail.skip(offset):
            await asyncio.sleep(0)  # a cancellation gets its turn
        self.progress.bytes_done += tail.take_disk_bytes()

    async def _send(self, tail: Tail, block: Block) -> None:
        self.progress.path = tail.name
        for part in block.portions(self._pace.portion):
            await self._pace.take(len(part.lines))
            self._positions.name(tail, block)
            values = encode(part, tail.name, datetime.now(UTC), Origin(tail.host, tail.file))
            lane = zlib.crc32(tail.file.encode()) + part.span  # files begin at different partitions
            await self._outbox.send(values, lane, partial(self._acked, tail, part))
            self._keep_books()

    def _acked(self, tail: Tail, block: Block) -> None:
        self._positions.advance(tail, block.end)
        self.progress.lines += len(block.lines)
        self.progress.bytes_done += block.disk_bytes
        self.progress.bytes_total = max(self.progress.bytes_total, self.progress.bytes_done)

    def _keep_books(self) -> None:
        now_s = time.monotonic()
        if now_s - self._saved_s >= _SAVE_EVERY_S:
            self._positions.save()
            self._saved_s = now_s
        if self._report and now_s - self._reported_s >= _REPORT_EVERY_S:
            self._report(self.progress)
            self._reported_s = now_s

    async def _leave(self) -> None:
        """Take note of what Kafka still acknowledges; what it doesn't, the next run sends again."""
        with contextlib.suppress(TimeoutError, UserError):
            async with asyncio.timeout(_DRAIN_LIMIT_S):
                await self._outbox.drain()
        if self._report:
            self._report(self.progress)
