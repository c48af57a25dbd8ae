"""What the model of the protocol has in the place of a table and of Postgres: dicts."""

from typing import NamedTuple

from kpi_app.core.ledger import META_KEY, Ledger, Meta
from kpi_app.core.seen import PREFIX, SeenFile
from kpi_app.core.segment import SegmentKey


class Disk:
    """A table as one worker left it."""

    def __init__(self) -> None:
        self.position = 0
        self.content: dict[bytes, bytes] = {}

    def write(self, records: list[tuple[bytes, bytes | None]], position: int) -> None:
        for key, value in records:
            if value is None:
                self.content.pop(key, None)
            else:
                self.content[key] = value
        self.position = position

    def meta(self) -> Meta | None:
        return Meta.decode(self.content[META_KEY]) if META_KEY in self.content else None

    def segments(self) -> list[tuple[SegmentKey, bytes]]:
        return [(SegmentKey.decode(key), value) for key, value in self.content.items() if key[:1].isdigit()]

    def files(self) -> list[SeenFile]:
        return [SeenFile.decode(value) for key, value in self.content.items() if key.startswith(PREFIX)]

    def load(self, key: SegmentKey) -> bytes:
        return self.content[key.encode()]


class Flush(NamedTuple):
    """What a flush brings: the books, what they believe the sink has, segments with their offsets, and files."""

    ledger: Ledger
    flushed: int
    dropped: int
    segments: dict[SegmentKey, tuple[int, bytes]]
    files: list[SeenFile]
    kept_from: int


class SetBackTooFar(Exception):
    """The sink lacks what the state has dropped."""


class Sink:
    """What Postgres does with a flush."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.segments: dict[SegmentKey, bytes] = {}
        self.files: dict[bytes, SeenFile] = {}
        self.backups = [self._copy()]

    def _copy(self) -> tuple[Ledger, dict[SegmentKey, bytes], dict[bytes, SeenFile]]:
        return self.ledger, dict(self.segments), dict(self.files)

    def take(self, flush: Flush) -> int:
        held = self.ledger.next_offset - 1
        if held < flush.dropped:
            raise SetBackTooFar
        if held >= flush.flushed and flush.ledger.next_offset - 1 > held:
            self.segments |= {key: data for key, (offset, data) in flush.segments.items() if offset > held}
            if changed := {each.file.key: each for each in flush.files if each.touched > held}:
                files = self.files | changed
                self.files = {key: each for key, each in files.items() if each.touched >= flush.kept_from}
            self.ledger = flush.ledger
            self.backups.append(self._copy())
        return self.ledger.next_offset - 1

    def restore(self, back: int) -> None:
        """Be as it was so many flushes before."""
        self.ledger, segments, files = self.backups[max(0, len(self.backups) - 1 - back)]
        self.segments, self.files = dict(segments), dict(files)
