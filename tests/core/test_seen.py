"""Seen: a line that came before is known again, and no other line is taken for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi_app.core import seen as subject
from kpi_app.core.fold import Folded, TimeRules, fold
from kpi_app.core.ranges import Ranges
from kpi_app.core.seen import File, Places, SeenFile
from tests.core.test_fold import DROPPING, MEASURES, RULES


class Line(NamedTuple):
    """A line of a file: which one, the bytes that it takes, its event time in seconds or why it has none."""

    file: str | None
    start: int
    end: int
    event: float | str = 30.0


def named(file: str) -> File:
    return File(file.encode().ljust(16, b"\0"), "web-1", "/var/log/access.log", file)


def frame(lines: Sequence[Line], at: Sequence[int], record_s: Sequence[float | None] | None = None) -> pl.DataFrame:
    times = [None if isinstance(line.event, str) else round(line.event * 1_000_000) for line in lines]
    return pl.DataFrame(
        {
            "offset": list(at),
            "record_ms": [None if s is None else round(s * 1_000) for s in record_s or [None] * len(lines)],
            "event_us": times,
            "reason": [line.event if isinstance(line.event, str) else None for line in lines],
            "size": [1] * len(lines),
        },
        {"offset": pl.Int64, "record_ms": pl.Int64, "event_us": pl.Int64, "reason": pl.String, "size": pl.Int64},
    )


def places(lines: Sequence[Line]) -> Places | None:
    names = list(dict.fromkeys(line.file for line in lines if line.file is not None))
    if not names:
        return None
    rows = [
        (None, None, None) if line.file is None else (names.index(line.file), line.start, line.end) for line in lines
    ]
    schema = dict.fromkeys(("file", "start", "end"), pl.Int64)
    return Places([named(name) for name in names], pl.DataFrame(rows, schema, orient="row"))


@dataclass
class Partition:
    """Lines folded run after run, with what is remembered between two runs."""

    rules: TimeRules = RULES
    seen: dict[bytes, SeenFile] = field(default_factory=dict)
    watermark_us: int | None = None
    next_offset: int = 0
    duplicates: int = 0
    requests: int = 0

    def read(
        self, lines: Sequence[Line], at: Sequence[int] | None = None, record_s: Sequence[float | None] | None = None
    ) -> Folded:
        at = range(self.next_offset, self.next_offset + len(lines)) if at is None else at
        folded = fold(
            frame(lines, at, record_s), self.watermark_us, self.rules, MEASURES, None, places(lines), self.seen
        )
        # as the table does: what is remembered has been written and read in between
        self.seen |= {key: SeenFile.decode(file.encode()) for key, file in folded.seen.items()}
        for key in folded.forgotten:
            del self.seen[key]
        self.watermark_us, self.next_offset = folded.watermark_us, folded.next_offset
        self.duplicates += folded.duplicates
        self.requests += sum(values["requests"] for values in folded.parts.values())
        return folded

    def file(self, name: str = "a") -> SeenFile:
        return self.seen[named(name).key]


def of(*spans: tuple[int, int], file: str | None = "a", event: float | str = 30.0) -> list[Line]:
    return [Line(file, *span, event) for span in spans]


def test_a_line_sent_twice_counts_once() -> None:
    """In the same batch or in a later one, alone or in a row."""
    partition = Partition()
    assert partition.read(of((0, 10), (10, 25), (0, 10), (25, 30))).duplicates == 1
    assert partition.read(of((10, 25), (25, 30), (30, 44))).duplicates == 2
    assert (partition.requests, partition.duplicates) == (4, 3)
    assert list(partition.file().arrived) == [(0, 44)]
    assert partition.file().missing_bytes == 0


def test_lines_without_a_place_take_no_part() -> None:
    """They count each time that they come, between others, too."""
    partition = Partition()
    partition.read(of((0, 5), file=None) * 3 + of((0, 5)) + of((0, 5), file=None) + of((0, 5)))
    assert (partition.requests, partition.duplicates) == (5, 1)


def test_rotation_is_no_duplicate() -> None:
    """The same bytes of another file of that path are other lines."""
    partition = Partition()
    partition.read(of((0, 10), (10, 20)) + of((0, 10), (10, 20), file="b") + of((20, 30)))
    assert (partition.requests, partition.duplicates) == (5, 0)


def test_a_duplicate_moves_nothing() -> None:
    """Neither the watermark, nor what is missing, nor which files came last."""
    partition = Partition()
    partition.read(of((0, 10), event=30))
    before = partition.seen.copy()
    folded = partition.read(of((0, 10), event=5_000))
    assert (folded.duplicates, folded.seen, folded.counted, folded.late_dropped) == (1, {}, 0, 0)
    assert partition.watermark_us == 30_000_000
    assert partition.seen == before


def test_a_rejected_line_may_come_again() -> None:
    """It is not missing, and when it can be read it counts; once."""
    partition = Partition()
    partition.read(of((0, 10)) + of((10, 20), event="format") + of((20, 30)))
    assert (partition.requests, partition.file().missing_bytes) == (2, 0)
    assert partition.read(of((10, 20), event="time")).rejected == [(3, "time")]
    partition.read(of((10, 20), (0, 10), (20, 30)))
    assert (partition.requests, partition.duplicates) == (3, 2)
    assert partition.read(of((10, 20), event="format")).duplicates == 1
    assert len(partition.file().refused) == 0


def test_a_line_rejected_as_future_counts_when_its_time_has_come() -> None:
    """The decision is that of the record, not of the file's place."""
    partition = Partition()
    folded = partition.read(of((0, 10), (0, 10), event=1_000), record_s=[1, 1_000])
    assert folded.rejected == [(0, "future")]
    assert (partition.requests, partition.duplicates) == (1, 0)


def test_a_dropped_line_is_in_the_books_once() -> None:
    """One that is too late for every window is a duplicate when it comes again."""
    partition = Partition(DROPPING)
    partition.read(of((0, 10), event=30) + of((10, 20), event=1_000))
    assert partition.read(of((20, 30), event=30)).late_dropped == 1
    folded = partition.read(of((20, 30), event=30))
    assert (folded.late_dropped, folded.duplicates) == (0, 1)


def test_holes_are_missing_until_they_are_filled() -> None:
    """By whatever order lines come in."""
    partition = Partition()
    partition.read(of((100, 110), (150, 160)))
    assert partition.file().missing_bytes == 40
    partition.read(of((120, 150)))
    assert partition.file().missing_bytes == 10
    partition.read(of((110, 120), (0, 7)))
    assert partition.file().missing_bytes == 93
    assert (partition.requests, partition.duplicates) == (5, 0)


def test_a_part_sent_again_before_and_behind_what_is_known() -> None:
    """Of a run that overlaps, only the lines that came before are duplicates."""
    partition = Partition()
    partition.read(of((20, 30), (30, 40)))
    folded = partition.read(of(*((start, start + 10) for start in range(0, 60, 10))))
    assert (folded.duplicates, folded.counted) == (2, 4)
    assert list(partition.file().arrived) == [(0, 60)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files, three stretches, and a look at each fourth offset."""
    for name, value in (("MAX_FILES", 2), ("MAX_RANGES", 3), ("FORGET_BLOCK", 4)):
        monkeypatch.setattr(subject, name, value)


@pytest.mark.usefixtures("small")
def test_the_first_stretches_are_forgotten() -> None:
    """What is forgotten counts again when it comes again, and the sum of what came stays right."""
    partition = Partition()
    partition.read(of(*((start, start + 5) for start in range(0, 80, 10))))
    partition.read(of((80, 85)))
    file = partition.file()
    assert [start for start, _ in file.arrived] == [50, 60, 70, 80]
    assert (file.floor, file.below, file.missing_bytes) == (50, 25, 40)
    assert partition.read(of((0, 5), (50, 55))).duplicates == 1
    assert partition.file().missing_bytes == 40
    assert partition.requests == 10


@pytest.mark.usefixtures("small")
def test_a_rejected_line_is_never_taken_for_counted_when_much_is_forgotten() -> None:
    """Rejected stretches are forgotten together with all that is before them."""
    partition = Partition()
    lines = of(*((start, start + 10) for start in range(0, 200, 10)))
    partition.read([line._replace(event="format") if number % 2 else line for number, line in enumerate(lines)])
    partition.read(of((200, 210)))
    assert partition.file().floor == 140
    assert len(partition.file().refused) == 3
    folded = partition.read(lines)
    # below 140 all count again; from there on those that were accepted are known
    assert [row[0] for row in folded.rejected] == []
    assert (folded.duplicates, folded.counted) == (3, 17)


@pytest.mark.usefixtures("small")
def test_the_files_that_came_last_are_kept() -> None:
    """Of more files, those without a line for the longest are forgotten; what comes of them is new."""
    partition = Partition()
    partition.read(of((0, 5)) + of((0, 5), file="b") + of((5, 9)) + of((0, 5), file="c"))
    assert len(partition.seen) == 3
    folded = partition.read(of((0, 5), file="c"))
    assert folded.forgotten == {named("b").key}
    assert folded.duplicates == 1
    assert partition.read(of((0, 5), (5, 9)) + of((0, 5), file="b")).duplicates == 2


@dataclass
class Model:
    """The same, line by line: each file a dict of its lines."""

    files: dict[str, dict[int, tuple[int, bool]]] = field(default_factory=dict)
    floors: dict[str, int] = field(default_factory=dict)
    touched: dict[str, int] = field(default_factory=dict)

    def is_duplicate(self, line: Line, offset: int) -> bool:
        assert line.file is not None
        self.forget(offset)
        lines = self.files.setdefault(line.file, {})
        if lines.get(line.start, (0, False))[1]:
            return True
        self.touched[line.file] = offset
        if line.start >= self.floors.get(line.file, 0):
            lines[line.start] = line.end, not isinstance(line.event, str)
        return False

    def forget(self, offset: int) -> None:
        if offset // subject.FORGET_BLOCK <= max(self.touched.values(), default=0) // subject.FORGET_BLOCK:
            return
        for name, lines in self.files.items():
            floor = self.floors.get(name, 0)
            arrived = stretches(lines)
            refused = stretches({start: each for start, each in lines.items() if not each[1]})
            if len(arrived) > subject.MAX_RANGES:
                floor = max(floor, arrived[-subject.MAX_RANGES][0])
            if len(refused) > subject.MAX_RANGES:
                floor = max(floor, refused[-subject.MAX_RANGES - 1][1])
            self.floors[name] = floor
            self.files[name] = {start: each for start, each in lines.items() if start >= floor}
        for name in sorted(self.touched, key=self.touched.__getitem__)[: -subject.MAX_FILES]:
            for of in (self.files, self.floors, self.touched):
                of.pop(name, None)


def stretches(lines: dict[int, tuple[int, bool]]) -> list[tuple[int, int]]:
    ranges = Ranges()
    for start, (end, _) in lines.items():
        ranges.add(start, end)
    return list(ranges)


#: The lines of every file: their borders never change.
BORDERS = list(pairwise([0, 3, 4, 9, 20, 21, 30, 44, 45, 50, 61, 70, 71, 72, 90]))
LINES = st.builds(
    lambda file, span, event: Line(file, span[0], span[1], event),
    st.sampled_from(["a", "a", "b", "c", None]),
    st.sampled_from(BORDERS),
    st.sampled_from([30.0, 30.0, 31.0, "format"]),
)


def runs(lines: Sequence[Line]) -> Iterator[Line]:
    """Each line with those that follow it in its file, as they are sent."""
    for line in lines:
        first = BORDERS.index((line.start, line.end))
        for start, end in BORDERS[first : first + 3]:
            yield line._replace(start=start, end=end)


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(LINES, min_size=1, max_size=30).map(lambda lines: list(runs(lines))),
    gaps=st.lists(st.integers(1, 3), min_size=100, max_size=100),
    cuts=st.sets(st.integers(1, 89), max_size=12),
)
def test_it_is_what_a_look_at_each_line_says(lines: list[Line], gaps: list[int], cuts: set[int]) -> None:
    """However lines are cut into batches, and however much is forgotten: the model's duplicates, and no other."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("MAX_FILES", 2), ("MAX_RANGES", 3), ("FORGET_BLOCK", 8)):
            patch.setattr(subject, name, value)
        at = [sum(gaps[: number + 1]) for number in range(len(lines))]
        model, truth = Model(), list[int]()
        for line, offset in zip(lines, at, strict=True):
            if line.file is not None and model.is_duplicate(line, offset):
                truth.append(offset)
        partition, found = Partition(), list[int]()
        for low, high in pairwise(sorted({0, *(cut for cut in cuts if cut < len(lines)), len(lines)})):
            before = partition.seen.copy()
            folded = partition.read(lines[low:high], at[low:high])
            whole = frame(lines[low:high], at[low:high])
            batch = places(lines[low:high])
            if batch is not None:
                told = subject.tell(batch, whole["offset"], whole["reason"].is_null(), before)
                found += whole["offset"].filter(told.duplicates).to_list()
                assert folded.duplicates == told.duplicates.sum()
        assert found == truth
        for name, each in model.files.items():
            assert list(partition.file(name).arrived) == stretches(each)
            assert partition.file(name).floor == model.floors.get(name, 0)


@given(
    st.lists(st.tuples(st.integers(0, 2**59), st.integers(1, 2**20)), max_size=20),
    st.text(max_size=20),
    st.integers(0, 2**60),
)
def test_a_file_is_read_as_it_was_written(spans: list[tuple[int, int]], name: str, offset: int) -> None:
    """As the table holds it."""
    file = SeenFile(File(b"k" * 16, "h", "/p", name), offset, 5, 2**59 + 2**20, 3, 7)
    for start, length in spans:
        file.arrived.add(start, start + length)
        file.refused.add(start, start + 1)
    assert SeenFile.decode(file.encode()) == file


def test_a_later_format_is_refused() -> None:
    """A worker of today does not guess at what a later one wrote."""
    with pytest.raises(ValueError, match="format"):
        SeenFile.decode(b"\x02x")
