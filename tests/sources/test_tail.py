"""Tails: whole lines, each with its place in the file, in bounded memory."""

import gzip
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.errors import UserError
from kpi_app.sources import tail as subject
from kpi_app.sources.tail import Block, Tail

content = st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"bcd", b"\xff\x00", b"xxxxxxx"])).map(b"".join)


def lines_of(data: bytes) -> list[tuple[int, bytes]]:
    """Each line of some content and its offset: the meaning that a tail has to meet."""
    lines, offset = [], 0
    for line in data.split(b"\n"):
        lines.append((offset, line))
        offset += len(line) + 1
    return lines if lines[-1][1] else lines[:-1]


def read_all(tail: Tail, last_line: bool = True) -> list[tuple[int, bytes]]:
    """Each line that the tail gives, and its offset."""
    blocks: list[Block] = []
    while block := tail.read():
        blocks.append(block)
    if last_line and (block := tail.rest()):
        blocks.append(block)
    lines = []
    for block in blocks:
        offset = block.offset
        for line in block.lines:
            lines.append((offset, line))
            offset += len(line) + 1
    return lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "access.log"


def written(data: bytes, directory: Path, compress: bool) -> Path:
    """A file of that content."""
    path = directory / "access.log"
    path.write_bytes(gzip.compress(data) if compress else data)
    return path


@given(data=content, block_bytes=st.integers(1, 9), compress=st.booleans())
def test_any_cut_into_blocks_gives_the_same_lines(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, block_bytes: int, compress: bool
) -> None:
    """Where a read ends decides nothing: each line comes once, with the place of its first byte."""
    tail = Tail(written(data, tmp_path_factory.mktemp("any"), compress))
    with patch.object(subject, "BLOCK_BYTES", block_bytes):
        assert read_all(tail) == lines_of(data)
    tail.close()


@given(
    data=content,
    cuts=st.lists(st.integers(0, 60), max_size=5),
    lines=st.none() | st.integers(1, 3),
    resumed=st.integers(0, 60),
)
def test_a_line_is_of_the_same_span_whenever_it_is_read(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cuts: list[int], lines: int | None, resumed: int
) -> None:
    """While the file grows, from any line on, at any rate: a portion is of one span, which its lines end in."""
    data = data[: data.rfind(b"\n") + 1]
    path = written(b"", tmp_path_factory.mktemp("any"), compress=False)
    starts = [offset for offset, _ in lines_of(data)] if data else [0]
    offset = starts[resumed % len(starts)]
    found: list[tuple[int, int, int]] = []
    with patch.object(subject, "BLOCK_BYTES", 8), patch.object(subject, "SPAN_BYTES", 8):
        path.write_bytes(data[:offset])
        tail = Tail(path)
        for _ in tail.skip(offset):
            pass
        for cut in [*sorted(cuts), len(data)]:
            path.write_bytes(data[: max(cut, offset)])
            while block := tail.read():
                for portion in block.portions(lines):
                    ends = [portion.offset]
                    for line in portion.lines:
                        ends.append(ends[-1] + len(line) + 1)
                    assert ends[-1] == portion.end
                    found += [(start, end, portion.span) for start, end in pairwise(ends)]
        tail.close()
    assert found == [
        (start, start + len(line) + 1, (start + len(line)) // 8) for start, line in lines_of(data) if start >= offset
    ]


@given(data=content, compress=st.booleans())
def test_skipping_to_a_line_gives_the_rest(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, compress: bool
) -> None:
    """From the start of any line on, a tail gives the lines that are left, however it gets there."""
    path = written(data, tmp_path_factory.mktemp("any"), compress)
    lines = lines_of(data)
    for i, (offset, _) in enumerate(lines):
        tail = Tail(path)
        with patch.object(subject, "_SKIP_BYTES", 2):
            for _ in tail.skip(offset):
                pass
        assert read_all(tail) == lines[i:]
        tail.close()


@given(data=content, lines=st.integers(1, 5))
def test_portions_are_the_block(tmp_path_factory: pytest.TempPathFactory, data: bytes, lines: int) -> None:
    """The portions of a block follow each other without a gap, and end where it ends."""
    tail = Tail(written(data, tmp_path_factory.mktemp("any"), compress=False))
    if block := tail.read():
        portions = list(block.portions(lines))
        assert [line for portion in portions for line in portion.lines] == block.lines
        assert [p.offset for p in portions] == [block.offset, *(p.end for p in portions[:-1])]
        assert portions[-1].end == block.end
        assert sum(portion.disk_bytes for portion in portions) == block.disk_bytes
        assert all(len(portion.lines) <= lines for portion in portions)
    tail.close()


def test_line_waits_for_its_newline(path: Path) -> None:
    """What is written of a line is no line yet, until its newline is there."""
    path.write_bytes(b"one\ntw")
    tail = Tail(path)
    assert read_all(tail, last_line=False) == [(0, b"one")]
    append(path, b"o\nthree\n")
    assert read_all(tail, last_line=False) == [(4, b"two"), (8, b"three")]
    assert tail.rest() is None
    tail.close()


def test_newline_of_a_line_that_was_sent_without_it_is_no_line(path: Path) -> None:
    """The last line was sent; then its newline and another line came: the next line is that other one."""
    path.write_bytes(b"one\ntwo\nthree\n")
    tail = Tail(path)
    list(tail.skip(len(b"one\ntwo")))
    assert read_all(tail) == [(8, b"three")]
    tail.close()


@pytest.mark.parametrize("length", [99, 100, 101, 1_000, 100_000])
def test_long_line_is_cut_and_costs_no_more_than_its_limit(path: Path, length: int) -> None:
    """A line over the limit is cut to it, the lines around it stay whole, and no more of it is held."""
    path.write_bytes(b"before\n" + b"x" * length + b"\nafter\n" + b"y" * length)
    with patch.object(subject, "MAX_LINE_BYTES", 100), patch.object(subject, "BLOCK_BYTES", 64):
        tail = Tail(path)
        lines = read_all(tail, last_line=False)
        assert lines == [(0, b"before"), (7, b"x" * min(length, 100)), (8 + length, b"after")]
        assert len(tail._pending) <= 100
        last = tail.rest()
        assert last == Block(14 + length, [b"y" * min(length, 100)], 14 + 2 * length, last.disk_bytes if last else 0)
    tail.close()


def test_renamed_file_is_read_on(path: Path) -> None:
    """A tail holds the file, not its name."""
    path.write_bytes(b"one\n")
    tail = Tail(path)
    assert len(read_all(tail)) == 1
    renamed = path.rename(path.with_suffix(".log.1"))
    append(renamed, b"two\n")
    assert read_all(tail) == [(4, b"two")]
    tail.close()


@pytest.mark.parametrize("new", [b"", b"x\n", b"another\n", b"quite another and longer line\n"])
def test_replaced_content_is_noticed(path: Path, new: bytes) -> None:
    """A file that was cut and written anew doesn't hold what was read, be it shorter or longer by now."""
    path.write_bytes(b"one\ntwo\n")
    tail = Tail(path)
    read_all(tail)
    assert not tail.is_replaced()
    append(path, b"three\n")
    assert not tail.is_replaced()
    path.write_bytes(new)  # keeps the inode
    assert tail.is_replaced()
    tail.reopen()
    assert not tail.is_replaced()
    assert read_all(tail) == lines_of(new)
    tail.close()


@pytest.mark.parametrize("read", [b"", b"one\n"], ids=["begun empty", "begun with a line"])
def test_content_replaced_before_or_after_a_read_is_noticed_after_it(path: Path, read: bytes) -> None:
    """Asked once a block is in hand: other content, longer by now, came just before that was read, or just after."""
    for before in (True, False):
        path.write_bytes(read)
        tail = Tail(path)
        read_all(tail, last_line=False)
        append(path, b"two\nthree\n")
        if before:
            assert tail.read()
            append(path, b"four\n")
            path.write_bytes(b"quite another and longer line\n" * 3)
            assert tail.read()
        else:
            assert tail.read()
            path.write_bytes(b"quite another and longer line\n" * 3)
        assert tail.is_replaced()
        tail.close()


@pytest.mark.parametrize("spoil", [lambda data: data[:-9], lambda data: data[:60] + b"\0" * 40 + data[100:]])
def test_damaged_gzip_is_the_users_error(path: Path, spoil: object) -> None:
    """What can be unpacked is read; then one clear line says that the file is damaged."""
    assert callable(spoil)
    data = b"".join(b"%d %d\n" % (i, i * i * 7919) for i in range(5_000))
    path.write_bytes(spoil(gzip.compress(data)))
    with pytest.raises(UserError, match="damaged"):  # noqa: PT012 - opening it may show the damage, or reading it
        tail = Tail(path)
        try:
            read_all(tail)
        finally:
            tail.close()


def test_disk_bytes_of_all_blocks_are_the_file(path: Path) -> None:
    """What the blocks took of the disk sums up to the file's size, compressed or not."""
    data = b"".join(b"%d\n" % i for i in range(200_000))
    for compress in (False, True):
        tail = Tail(written(data, path.parent, compress))
        total = sum(block.disk_bytes for block in iter(tail.read, None) if block)
        assert total == tail.size
        tail.close()


def append(path: Path, data: bytes) -> None:
    """Write as a web server does."""
    with path.open("ab") as file:
        file.write(data)
