"""The state of one source partition: its books, its segments, and the files seen, between two checkpoints.

The table holds what the last checkpoint wrote. In memory are the books, an index of the live segments,
the decoded segments that lines still arrive for, and the files. A checkpoint is taken in two steps: `checkpoint()` says
what is to be written, `commit()` says that it was.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from kpi_app.core import segment as segments
from kpi_app.core.aggregates import Measure
from kpi_app.core.fold import Folded, TimeRules
from kpi_app.core.ledger import META_KEY, Ledger, Meta
from kpi_app.core.merge import settle
from kpi_app.core.seen import SeenFile, table_key
from kpi_app.core.segment import LATE_BLOCK, Head, Segment, SegmentKey
from kpi_app.core.windows import US_PER_S


@dataclass(frozen=True)
class Checkpoint:
    """What one checkpoint writes, all of it or nothing."""

    meta: Meta
    puts: dict[SegmentKey, bytes]
    drops: tuple[SegmentKey, ...]
    #: Index entries of `puts`.
    live: dict[SegmentKey, Head]
    #: Files that changed, and keys of those that are forgotten.
    seen: dict[bytes, SeenFile] = field(default_factory=dict)
    forgotten: tuple[bytes, ...] = ()

    def records(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Keys and values as the table and its changelog take them; None deletes."""
        for key, value in self.puts.items():
            yield key.encode(), value
        for key in self.drops:
            yield key.encode(), None
        yield from self.files()
        yield self.books()

    def files(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The records of the files."""
        for key, file in self.seen.items():
            yield table_key(key), file.encode()
        for key in self.forgotten:
            yield table_key(key), None

    def books(self) -> tuple[bytes, bytes]:
        """The record of the partition's books."""
        return META_KEY, self.meta.encode()


class PartitionState:
    """Books and segments of one partition. `load(key)` reads a segment's bytes from the table.

    Without `meta` it is a new partition, whose checkpoints carry `birth`.
    """

    def __init__(
        self,
        rules: TimeRules,
        measures: Sequence[Measure],
        load: Callable[[SegmentKey], bytes],
        meta: Meta | None = None,
        live: dict[SegmentKey, Head] | None = None,
        birth: str = "",
        seen: dict[bytes, SeenFile] | None = None,
    ) -> None:
        self._rules = rules
        self._measures = measures
        self._load = load
        #: The last checkpoint, which is what the table holds; None before the first.
        self.committed = meta
        #: The books as of the last line folded.
        self.ledger = meta.ledger if meta else Ledger()
        #: Tells these books from others of the same partition, begun at another time.
        self.birth = meta.birth if meta else birth
        #: Of the raw topic that is counted here; empty where that is not known.
        self.topic_id = meta.topic_id if meta else ""
        #: What the sink held when that was more than the last checkpoint; -1 when it never did.
        self.overtaken = -1
        #: Greatest offset that the sink is known to hold; goes back where the sink was set back.
        self.flushed = meta.flushed if meta else -1
        self.live: dict[SegmentKey, Head] = live or {}
        self._open: dict[SegmentKey, Segment] = {}
        self._touched: set[SegmentKey] = set()
        #: The files as of the last line folded, by their keys, and as of the last checkpoint.
        self.seen: dict[bytes, SeenFile] = seen or {}
        self.seen_committed = dict(self.seen)
        self._seen_touched: set[bytes] = set()

    @property
    def touched(self) -> int:
        """Segments and files that the next checkpoint will write."""
        return len(self._touched) + len(self._seen_touched)

    @property
    def committed_offset(self) -> int:
        """The next offset as of the last checkpoint, 0 before the first."""
        return self.committed.ledger.next_offset if self.committed else 0

    def apply(self, folded: Folded) -> None:
        """Take in what `fold` made of the offsets that follow."""
        old = self.ledger
        self.ledger = replace(
            old,
            next_offset=folded.next_offset,
            lines=old.lines + folded.lines,
            counted=old.counted + folded.counted,
            rejected=old.rejected + len(folded.rejected),
            late_dropped=old.late_dropped + folded.late_dropped,
            duplicates=old.duplicates + folded.duplicates,
            watermark_us=folded.watermark_us,
            passed_us=folded.passed_us,
        )
        for key, values in folded.parts.items():
            segment = self._opened(key)
            if segment is None:
                self._open[key] = Segment(values)
            else:
                segments.absorb(segment, values, self._measures)
            self._touched.add(key)
        self.seen.update(folded.seen)
        for each in folded.forgotten:
            del self.seen[each]
        self._seen_touched |= folded.seen.keys() | folded.forgotten

    def skip(self, to_offset: int, lost: int) -> None:
        """Pass over offsets that the log does not hold, `lost` of which it no longer holds."""
        self.ledger = replace(self.ledger, next_offset=to_offset, lost_offsets=self.ledger.lost_offsets + lost)

    def checkpoint(self) -> Checkpoint | None:
        """What a checkpoint here would write; None when the last one says it all already."""
        drops = tuple(key for key, live in self.live.items() if self._droppable(key, live))
        before = self.committed or Meta()
        dropped = max([before.dropped, *(self.live[key].offset for key in drops)])
        meta = Meta(self.ledger, self.flushed, self.birth, dropped, self.topic_id, self.overtaken)
        if self.committed is not None and before.ledger == self.ledger and not drops:
            return None
        touched, self._touched = self._touched, set()
        settle([self._open[key].values for key in touched], self._measures)
        puts, live = {}, {}
        for key in touched:
            segment = self._open[key]
            segment.offset = meta.offset
            puts[key] = segments.encode(segment, self._measures)
            live[key] = Head(meta.offset, segment.requests)
        changed, self._seen_touched = self._seen_touched, set()
        seen = {key: self.seen[key] for key in changed if key in self.seen}
        forgotten = tuple(key for key in changed if key not in self.seen and key in self.seen_committed)
        return Checkpoint(meta, puts, drops, live, seen, forgotten)

    def commit(self, checkpoint: Checkpoint) -> None:
        """The checkpoint is in the changelog and in the table."""
        self.committed = checkpoint.meta
        self.live.update(checkpoint.live)
        for key in checkpoint.drops:
            del self.live[key]
        self.seen_committed.update(checkpoint.seen)
        for each in checkpoint.forgotten:
            del self.seen_committed[each]
        self._open = {
            key: segment
            for key, segment in self._open.items()
            # late segments are read again if their line comes: hostile times must not fill the memory
            if key in self._touched or (key.part == 0 and not self._sealed(key))
        }

    def since(self, offset: int) -> list[SegmentKey]:
        """Live segments that checkpoints after `offset` wrote."""
        return [key for key, live in self.live.items() if live.offset > offset]

    def files_since(self, offset: int) -> tuple[list[SeenFile], int]:
        """Files with lines after `offset` as of the last checkpoint; and the offset before which all are forgotten."""
        kept = self.seen_committed.values()
        return [each for each in kept if each.touched > offset], min((each.touched for each in kept), default=0)

    def _opened(self, key: SegmentKey) -> Segment | None:
        """The segment so far; None where this is its first part."""
        if key not in self._open and key in self.live:
            self._open[key] = segments.decode(self._load(key), self._measures)
        return self._open.get(key)

    def _droppable(self, key: SegmentKey, live: Head) -> bool:
        return live.offset <= self.flushed and key not in self._touched and self._sealed(key)

    def _sealed(self, key: SegmentKey) -> bool:
        """No line can reach this segment any more: its window is late, or its block of offsets is past."""
        if key.part > 0:
            return key.part - 1 < self.ledger.next_offset // LATE_BLOCK
        ends_us = (key.window_start_s + self._rules.window_s) * US_PER_S
        return self.ledger.passed_us is not None and ends_us <= self.ledger.passed_us
