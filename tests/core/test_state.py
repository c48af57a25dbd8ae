"""The state of a partition between checkpoints: what seals, drops and comes back."""

from dataclasses import replace

import orjson
import polars as pl
import pytest

from kpi_app.core import seen
from kpi_app.core.fold import Folded, TimeRules, fold
from kpi_app.core.ledger import Meta
from kpi_app.core.seen import File, Places, SeenFile, table_key
from kpi_app.core.segment import SegmentKey, decode
from kpi_app.core.state import Checkpoint, PartitionState
from kpi_app.feeds.access import ACCESS
from tests.parsed import MORE

RULES = TimeRules(window_s=60, grace_s=60, future_limit_s=60)
MEASURES = ACCESS.measures


def lines(first: int, *times_s: int) -> pl.DataFrame:
    """Parsed lines at these event times, from this offset on."""
    return pl.DataFrame(
        {
            "offset": range(first, first + len(times_s)),
            "record_ms": [None] * len(times_s),
            "event_us": [second * 1_000_000 for second in times_s],
            "reason": [None] * len(times_s),
            "status": [200] * len(times_s),
            "bytes": [1] * len(times_s),
        },
        schema_overrides={"record_ms": pl.Int64, "reason": pl.String, "offset": pl.Int64},
    ).with_columns(**MORE)


class Disk:
    """A table and a sink in memory."""

    def __init__(self) -> None:
        self.table: dict[SegmentKey, bytes] = {}
        self.sink: dict[SegmentKey, bytes] = {}

    def read(self, state: PartitionState, rules: TimeRules, *times_s: int) -> None:
        """Fold lines, checkpoint, flush, and checkpoint again, so that what is sealed is dropped."""
        before = state.ledger
        state.apply(fold(lines(before.next_offset, *times_s), before.watermark_us, rules, MEASURES, before.passed_us))
        for _ in range(2):
            if taken := state.checkpoint():
                self.table.update(taken.puts)
                self.sink.update(taken.puts)
                state.commit(taken)
                for key in taken.drops:
                    del self.table[key]
            state.flushed = state.ledger.next_offset - 1

    @property
    def requests(self) -> int:
        """What the sink holds of all windows."""
        return sum(decode(data, MEASURES).requests for data in self.sink.values())


def test_a_longer_grace_does_not_open_what_was_dropped() -> None:
    """A window sealed and dropped under a short grace stays late under a longer one: nothing is overwritten."""
    #  [0----60)      grace 60: sealed at 120, dropped; then grace 3600, and a line at 30 again
    disk = Disk()
    state = PartitionState(RULES, MEASURES, disk.table.__getitem__)
    disk.read(state, RULES, 10, 20, 200)
    assert SegmentKey(0, 0) not in disk.table
    longer = replace(RULES, grace_s=3_600)
    restarted = PartitionState(longer, MEASURES, disk.table.__getitem__, state.committed, dict(state.live))
    disk.read(restarted, longer, 30, 210)
    assert restarted.ledger.counted == disk.requests == 5
    assert decode(disk.sink[SegmentKey(0, 1)], MEASURES).requests == 1


def test_a_shorter_grace_seals_earlier_and_loses_nothing() -> None:
    """Under a shorter grace what was open becomes late; its lines go to a part of their own."""
    disk = Disk()
    longer = replace(RULES, grace_s=3_600)
    state = PartitionState(longer, MEASURES, disk.table.__getitem__)
    disk.read(state, longer, 10, 200)
    restarted = PartitionState(RULES, MEASURES, disk.table.__getitem__, state.committed, dict(state.live))
    disk.read(restarted, RULES, 20, 210, 30)
    assert restarted.ledger.counted == disk.requests == 5


def test_books_know_how_much_of_the_state_is_gone() -> None:
    """The greatest offset of a segment that was dropped; of books that do not say, all that the sink had may be."""
    #  [0----60)    0: line at 1, 1: line at 70, 2: line at 200 seals both, in the same checkpoint
    disk = Disk()
    state = PartitionState(RULES, MEASURES, disk.table.__getitem__)
    for time_s in (1, 70):
        disk.read(state, RULES, time_s)
    assert state.committed is not None
    assert state.committed.dropped == -1
    disk.read(state, RULES, 200)
    assert state.committed.dropped == 1
    disk.read(state, RULES, 201)
    assert (state.committed.dropped, Meta.decode(state.committed.encode())) == (1, state.committed)
    encoded = orjson.loads(state.committed.encode()[1:])
    del encoded["dropped"], encoded["topic_id"], encoded["overtaken"]
    earlier = Meta.decode(bytes([1]) + orjson.dumps(encoded))
    assert (earlier.dropped, earlier.topic_id, earlier.overtaken) == (state.committed.flushed, "", -1)


def test_checkpoints_carry_the_birth_of_their_partition() -> None:
    """The first checkpoint names the partition's birth, later ones and restarts keep it."""
    disk = Disk()
    state = PartitionState(RULES, MEASURES, disk.table.__getitem__, birth="first")
    disk.read(state, RULES, 10)
    assert state.committed is not None
    restarted = PartitionState(RULES, MEASURES, disk.table.__getitem__, state.committed, birth="second")
    disk.read(restarted, RULES, 11)
    assert restarted.committed is not None
    assert (state.committed.birth, restarted.committed.birth) == ("first", "first")


class Files:
    """A table of files, and a state on it that reads lines of them: (file, first byte, the one behind it)."""

    def __init__(self) -> None:
        self.table: dict[bytes, bytes] = {}
        self.meta: Meta | None = None
        self.restart()

    def restart(self) -> None:
        """Go on from what the table holds, as a take-over does."""
        files = {each.file.key: each for each in map(SeenFile.decode, self.table.values())}
        self.state = PartitionState(RULES, MEASURES, lambda key: b"", self.meta, seen=files)

    def read(self, *places: tuple[str, int, int]) -> Folded:
        ledger = self.state.ledger
        files = sorted({name for name, _, _ in places})
        known = pl.DataFrame(
            [(files.index(name), start, end) for name, start, end in places],
            dict.fromkeys(("file", "start", "end"), pl.Int64),
            orient="row",
        )
        parsed = lines(ledger.next_offset, *(30 for _ in places))
        named = Places([File(name.encode() * 16, "h", "/p", name) for name in files], known)
        folded = fold(parsed, ledger.watermark_us, RULES, MEASURES, ledger.passed_us, named, self.state.seen)
        self.state.apply(folded)
        return folded

    def checkpoint(self, table: bool = True) -> Checkpoint:
        taken = self.state.checkpoint()
        assert taken is not None
        if table:
            for key, value in taken.files():
                self.table.pop(key) if value is None else self.table.__setitem__(key, value)
            self.state.commit(taken)
            self.meta = taken.meta
        return taken


def test_files_are_part_of_the_checkpoint() -> None:
    """Those that changed, and no others; a duplicate changes the books only."""
    files = Files()
    files.read(("a", 0, 5), ("b", 0, 5))
    assert len(list(files.checkpoint().files())) == 2
    files.read(("a", 5, 9), ("b", 0, 5))
    taken = files.checkpoint()
    assert [key for key, _ in taken.files()] == [table_key(b"a" * 16)]
    assert taken.meta.ledger.duplicates == 1
    assert list(taken.records())[-1] == taken.books()
    files.read(("a", 5, 9))
    assert list(files.checkpoint().files()) == []


def test_lines_of_a_checkpoint_that_was_never_written_are_new() -> None:
    """What was in memory only is read again, and decided the same."""
    files = Files()
    files.read(("a", 0, 5))
    files.checkpoint()
    assert files.read(("a", 5, 9), ("a", 0, 5)).duplicates == 1
    files.checkpoint(table=False)
    files.restart()
    assert files.read(("a", 5, 9), ("a", 0, 5)).duplicates == 1
    assert files.state.ledger.counted == 2


def test_what_is_flushed_is_what_was_checkpointed() -> None:
    """Lines folded since do not show in the files of the last checkpoint."""
    files = Files()
    files.read(("a", 0, 5))
    files.checkpoint()
    files.read(("a", 5, 9), ("b", 0, 3))
    assert [(each.file.name, each.end) for each in files.state.seen_committed.values()] == [("a", 5)]


def test_forgotten_files_leave_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tombstone, once; one that came and went between two checkpoints leaves none."""
    monkeypatch.setattr(seen, "MAX_FILES", 1)
    monkeypatch.setattr(seen, "FORGET_BLOCK", 2)
    files = Files()
    files.read(("a", 0, 5), ("a", 5, 6))
    files.checkpoint()
    files.read(("b", 0, 5), ("b", 5, 6), ("c", 0, 5), ("c", 5, 6), ("c", 6, 7))
    taken = files.checkpoint()
    assert taken.forgotten == (b"a" * 16,)
    assert files.table.keys() == {table_key(b"c" * 16)}
    files.read(("c", 7, 8))
    assert files.checkpoint().forgotten == ()
    files.restart()
    assert files.read(("c", 0, 5), ("a", 0, 5)).duplicates == 1
