"""The protocol as a model: the product's fold, state and segments; table, changelog and sink are dicts and lists.

Hypothesis makes up a log and what happens to it: batches cut anywhere and delivered again, checkpoints that get as
far as they get, ends, take-overs on any disk that was ever used, flushes that arrive, arrive late, or whose answer
is lost, a sink that is set back. After each of them the sink must hold what a recount of the offsets it claims comes
to; only a sink that was set back too far may be refused.
"""

import json
from contextlib import nullcontext, suppress
from typing import Any, NamedTuple

import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi_app.core.fold import TimeRules
from kpi_app.core.ledger import Meta
from kpi_app.core.merge import merge
from kpi_app.core.ranges import Ranges
from kpi_app.core.state import PartitionState
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.base import Reading
from kpi_app.stream.bend import Records
from kpi_app.stream.fold import Folding, fold_records
from kpi_app.stream.takeover import load_state
from tests.exactness.lines import GRACE_S, WINDOW_S, at
from tests.exactness.stores import Disk, Flush, SetBackTooFar, Sink
from tests.recount import recount

CORRECT_FOR_S = 40
RULES = TimeRules(window_s=WINDOW_S, grace_s=GRACE_S, future_limit_s=60, correct_for_s=CORRECT_FOR_S)
FOLDING = Folding(ACCESS, Reading(), RULES)

#: Distance of two lines in the log: between them lie markers, and a block of late lines is soon over.
GAP = 2_000

#: Lines of the log until those of the next file begin.
FILE_LINES = 7

TOPIC = "lines"


class Line(NamedTuple):
    """A record of the raw topic, as the consumer hands it out."""

    offset: int
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes], ...] = ()


LATE = st.sampled_from([-25, -30, -60, -90])


class Again(NamedTuple):
    """A line that was sent before: so many lines ago."""

    back: int


Step = int | Again | None

# an event time relative to the time of the line before it, None for a line that can't be read, or a line once more
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        *(st.integers(0, 6), st.integers(-9, 0), st.integers(8, 45), LATE, st.just(1_000), st.none()),
        st.builds(Again, st.integers(1, 9)),
    ),
    min_size=30,
    max_size=60,
)


def log_of(steps: list[Step]) -> list[Line]:
    """Lines at the offsets 3, 3 + GAP, …; two of three say where in a file they are."""
    now_s, lines = 1_000, list[Line]()
    for number, step in enumerate(steps):
        record = at(0, now_s + (step if isinstance(step, int) else 0), written_s=now_s)
        offset, value = 3 + number * GAP, b"not readable" if step is None else record.value
        assert value is not None
        if isinstance(step, Again):
            value = lines[-min(step.back, len(lines))].value if lines else value
        elif number % 3:
            file = f"f{number // FILE_LINES}"
            place = {"host": "h", "path": "/p", "file": file, "offset": 100 * number, "end": 100 * number + 100}
            value = json.dumps({**place, "log": value.decode()}).encode()
        lines.append(Line(offset, value, record.timestamp_ms))
        if isinstance(step, int) and 0 < step < 1_000:
            now_s += step
    return lines


def bytes_of(line: Line) -> tuple[str, int, int] | None:
    """The file that a record names, and which bytes of it the line takes."""
    found = json.loads(line.value) if line.value and line.value.startswith(b"{") else {}
    return (found["file"], found["offset"], found["end"]) if "file" in found else None


class Protocol:
    """One source partition, owned by one worker after the other."""

    def __init__(self, log: list[Line]) -> None:
        self.log = log
        self.changelog: list[tuple[bytes, bytes | None]] = []
        self.sink = Sink()
        self.disks = [Disk()]
        self.on_its_way: list[Flush] = []
        self.take_over(self.disks[0])

    def take_over(self, disk: Disk) -> None:
        self.disk = disk
        disk.write(self.changelog[disk.position :], len(self.changelog))
        self.state: PartitionState = load_state(TOPIC, 0, disk, RULES, ACCESS.measures)  # type: ignore[arg-type]

    def a_batch_is_folded(self, back: int, count: int) -> None:
        """It begins with lines that the state has seen already."""
        seen = sum(line.offset < self.state.ledger.next_offset for line in self.log)
        batch = self.log[max(0, seen - back) : seen + count]
        if not batch:
            return
        if batch[0].offset > self.state.ledger.next_offset:
            self.state.skip(batch[0].offset, lost=0)
        ledger = self.state.ledger
        known = ledger.watermark_us, FOLDING, TP("log", 0), ledger.passed_us, "", self.state.seen
        result = fold_records(Records.of(batch), ledger.next_offset, *known)
        if result is not None:
            self.state.apply(result[0])

    def a_checkpoint_is_taken(self, table: bool = True) -> None:
        """To the changelog and to the table, or only to the changelog before the worker ends."""
        checkpoint = self.state.checkpoint()
        if checkpoint is not None:
            records = list(checkpoint.records())
            self.changelog += records
            if table:
                self.disk.write(records, len(self.changelog))
                self.state.commit(checkpoint)

    def the_worker_ends(self, committed: bool, disk: int) -> None:
        """In mid-checkpoint, committed or not; the next one has one of the disks that there are, or a new one."""
        if committed:
            self.a_checkpoint_is_taken(table=False)
        if disk >= len(self.disks):
            self.disks.append(Disk())
        self.take_over(self.disks[min(disk, len(self.disks) - 1)])

    def a_flush_arrives(self, answered: bool) -> None:
        self._arrive(self._flush(), answered)

    def all_is_well_for_a_while(self) -> None:
        self.a_checkpoint_is_taken()
        self.a_flush_arrives(answered=True)
        self.a_checkpoint_is_taken()

    def a_flush_sets_out(self) -> None:
        self.on_its_way.append(self._flush())

    def a_flush_arrives_late(self, which: int) -> None:
        if self.on_its_way:
            self._arrive(self.on_its_way.pop(which % len(self.on_its_way)), answered=False)

    def _flush(self) -> Flush:
        meta = self.state.committed or Meta()
        flushed = min(meta.flushed, self.state.flushed)
        segments = {key: (self.state.live[key].offset, self.disk.load(key)) for key in self.state.since(flushed)}
        return Flush(meta.ledger, flushed, meta.dropped, segments, *self.state.files_since(flushed))

    def _arrive(self, flush: Flush, answered: bool) -> None:
        held = self.sink.take(flush)
        if answered:
            self.state.flushed = held if held < flush.flushed else max(self.state.flushed, held)
        self._check()

    def the_sink_is_set_back(self, back: int) -> None:
        self.sink.restore(back)
        self._check()

    def _check(self) -> None:
        """The sink holds what the offsets below its `next_offset` come to."""
        books = self.sink.ledger
        lines = [line for line in self.log if line.offset < books.next_offset]
        truth = recount(
            (line.value for line in lines),
            WINDOW_S,
            GRACE_S,
            CORRECT_FOR_S,
            record_ms=[line.timestamp for line in lines],
        )
        assert (books.lines, books.counted) == (truth.lines, truth.counted)
        assert (books.rejected, books.late_dropped) == (truth.rejected.total(), truth.late_dropped)
        assert books.duplicates == len(truth.again)
        assert self._windows() == {
            start: (w.requests, w.late, w.bytes_sent, sorted(w.per_second.values()))
            for start, w in truth.windows.items()
        }
        self._check_files([line for number, line in enumerate(lines) if number not in truth.again])

    def _check_files(self, lines: list[Line]) -> None:
        """The sink says of each file which bytes came, and which line was its latest; `lines` without duplicates."""
        came: dict[str, tuple[int, Ranges]] = {}
        for line in lines:
            if place := bytes_of(line):
                name, start, end = place
                _, arrived = came.get(name, (0, Ranges()))
                arrived.add(start, end)
                came[name] = line.offset, arrived
        assert {each.file.name: (each.touched, each.arrived) for each in self.sink.files.values()} == came

    def _windows(self) -> dict[int, Any]:
        by_start: dict[int, list[bytes]] = {}
        for key, data in self.sink.segments.items():
            by_start.setdefault(key.window_start_s, []).append(data)
        merged = {start: merge(segments, ACCESS.measures) for start, segments in by_start.items()}
        return {
            start: (
                values["requests"],
                values["late_requests"],
                values["bytes_sent"],
                sorted(values["per_second"].values()),
            )
            for start, values in merged.items()
        }

    def all_comes_to_its_end(self) -> None:
        """Everything is counted, once."""
        self.a_batch_is_folded(0, len(self.log))
        self.all_is_well_for_a_while()
        self.all_is_well_for_a_while()  # a sink that was set back says so with the first flush
        assert self.sink.ledger.lines == len(self.log)


FOLD = st.tuples(st.just(Protocol.a_batch_is_folded), st.integers(0, 6), st.integers(1, 4))
HAPPENING = st.one_of(
    FOLD,  # three times as often as others: without lines nothing happens
    FOLD,
    FOLD,
    st.tuples(st.just(Protocol.a_checkpoint_is_taken)),
    st.tuples(st.just(Protocol.all_is_well_for_a_while)),
    st.tuples(st.just(Protocol.the_worker_ends), st.booleans(), st.integers(0, 3)),
    st.tuples(st.just(Protocol.a_flush_arrives), st.booleans()),
    st.tuples(st.just(Protocol.a_flush_sets_out)),
    st.tuples(st.just(Protocol.a_flush_arrives_late), st.integers(0, 9)),
)


@settings(max_examples=100)
@given(steps=STEPS, happenings=st.lists(HAPPENING, min_size=30, max_size=60))
def test_whatever_happens_the_sink_holds_what_a_recount_comes_to(
    steps: list[Step], happenings: list[tuple[Any, ...]]
) -> None:
    """Any cutting of a log, any ends, take-overs and flushes lead to the same windows as a recount."""
    protocol = Protocol(log_of(steps))
    for happening, *arguments in happenings:
        happening(protocol, *arguments)
    protocol.all_comes_to_its_end()


SET_BACK = st.tuples(st.just(Protocol.the_sink_is_set_back), st.integers(1, 3))


@settings(max_examples=50)
@given(steps=STEPS, happenings=st.lists(st.one_of(HAPPENING, HAPPENING, SET_BACK), min_size=30, max_size=60))
def test_a_sink_that_is_set_back_is_completed_or_refused(
    steps: list[int | None], happenings: list[tuple[Any, ...]]
) -> None:
    """It gets what it lacks from the state, wherever that still has it all; otherwise nothing is written to it."""
    protocol = Protocol(log_of(steps))
    with suppress(SetBackTooFar):
        for happening, *arguments in happenings:
            happening(protocol, *arguments)
        protocol.all_comes_to_its_end()
    protocol._check()


@pytest.mark.parametrize(("back", "refused"), [(1, False), (2, False), (3, True)])
def test_a_sink_may_be_set_back_as_far_as_nothing_was_dropped(back: int, refused: bool) -> None:
    """Four flushes of a line each; the third line seals the windows of the first two, which are dropped then.

    line          0    11    29              30
    dropped                  [0-10) [10-20)
    """
    protocol = Protocol(log_of([0, 11, 18, 1]))
    for _ in range(4):
        protocol.a_batch_is_folded(0, 1)
        protocol.all_is_well_for_a_while()
    protocol.sink.restore(back)
    with pytest.raises(SetBackTooFar) if refused else nullcontext():
        protocol.all_comes_to_its_end()
    assert protocol.state.committed is not None
    assert protocol.state.committed.dropped == 3 + GAP
