"""Positions: a file goes on where it stopped, whatever it is called by now; another file starts at its beginning."""

import contextlib
import gzip
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from kpi_app.errors import UserError
from kpi_app.sources import positions as subject
from kpi_app.sources.positions import Positions
from kpi_app.sources.tail import Tail

LINES = b"".join(b"line %d\n" % i for i in range(500))
MIDDLE = LINES.index(b"line 300\n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log with LINES in it."""
    path = tmp_path / "logs" / "access.log"
    path.parent.mkdir()
    path.write_bytes(LINES)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory; nobody made it yet."""
    return tmp_path / "kpi-data"


def positions(data: Path, topic: str = "access-log") -> Positions:
    """The positions of a topic in a cluster."""
    return Positions(data, "cluster", topic)


def shipped(data: Path, path: Path, offset: int) -> None:
    """A run that sent the file up to `offset`."""
    with positions(data) as kept:
        tail = Tail(path)
        kept.resume(tail)
        kept.advance(tail, offset)
        tail.close()


def resumed(data: Path, path: Path, topic: str = "access-log") -> tuple[int, str]:
    """Where the next run begins with the file, and what it calls it."""
    with positions(data, topic) as kept:
        tail = Tail(path)
        offset = kept.resume(tail)
        tail.close()
        return offset, Path(tail.name).name


def test_unknown_file_begins_at_its_start(data: Path, path: Path) -> None:
    """Nothing was sent of it yet."""
    assert resumed(data, path) == (0, "access.log")


def test_file_goes_on_where_it_stopped(data: Path, path: Path) -> None:
    """Also after it has grown."""
    shipped(data, path, MIDDLE)
    path.write_bytes(LINES * 2)
    assert resumed(data, path) == (MIDDLE, "access.log")


def test_renamed_file_goes_on_and_keeps_its_name(data: Path, path: Path) -> None:
    """Lines that a crash repeats have the same path and offset as before, so they can be told apart from others."""
    shipped(data, path, MIDDLE)
    renamed = path.rename(path.with_name("access.log.1"))
    path.write_bytes(b"new\n")
    assert resumed(data, renamed) == (MIDDLE, "access.log")
    assert resumed(data, path) == (0, "access.log")


def test_compressed_file_goes_on_where_its_original_stopped(data: Path, path: Path) -> None:
    """The same content in another inode, the original gone: what was sent is not sent again."""
    shipped(data, path, MIDDLE)
    compressed = path.with_name("access.log.2.gz")
    compressed.write_bytes(gzip.compress(LINES))
    path.unlink()
    assert resumed(data, compressed) == (MIDDLE, "access.log")
    shipped(data, compressed, len(LINES))
    assert resumed(data, compressed) == (len(LINES), "access.log")


def test_compressed_file_is_found_though_its_originals_inode_is_in_use(data: Path, path: Path) -> None:
    """File systems give the inode of a removed file to the next one: the new log, as a rule."""
    shipped(data, path, MIDDLE)
    compressed = path.with_name("access.log.2.gz")
    compressed.write_bytes(gzip.compress(LINES))
    path.write_bytes(b"quite other lines\n" * 100)  # the same inode
    shipped(data, path, 18)
    assert resumed(data, compressed) == (MIDDLE, "access.log")
    assert resumed(data, path) == (18, "access.log")


def test_file_that_only_begins_alike_is_another_one(data: Path, path: Path) -> None:
    """While the original is there, or under a name of another log, the same beginning proves nothing."""
    shipped(data, path, MIDDLE)
    twin = path.with_name("access.log.1")
    shutil.copy(path, twin)
    assert resumed(data, twin) == (0, "access.log.1")
    path.unlink()
    other = twin.rename(path.with_name("other.log"))
    assert resumed(data, other) == (0, "other.log")


def test_new_file_in_an_old_inode_begins_at_its_start(data: Path, path: Path) -> None:
    """The inode is the same, the first bytes are not."""
    shipped(data, path, MIDDLE)
    path.write_bytes(b"x" + LINES)
    assert resumed(data, path) == (0, "access.log")


def test_shortened_file_begins_at_its_start(data: Path, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It was cut and written anew with the same beginning; and once only, when it has grown again."""
    shipped(data, path, MIDDLE)
    path.write_bytes(LINES[:2_000])
    with caplog.at_level(logging.WARNING):
        shipped(data, path, 1_500)
    assert "shorter" in caplog.text
    path.write_bytes(LINES)
    assert resumed(data, path) == (1_500, "access.log")


def test_small_file_is_known_by_all_it_has(data: Path, path: Path) -> None:
    """A file of few bytes grows: its beginning stays the same, so it goes on."""
    path.write_bytes(b"a\n")
    shipped(data, path, 2)
    path.write_bytes(b"a\nb\n")
    assert resumed(data, path) == (2, "access.log")
    path.write_bytes(b"c\nb\n")
    assert resumed(data, path) == (0, "access.log")


def test_another_topic_gets_everything(data: Path, path: Path) -> None:
    """Positions are about one topic of one cluster, and don't disturb each other in the file."""
    shipped(data, path, MIDDLE)
    assert resumed(data, path, topic="other") == (0, "access.log")
    with Positions(data, "another cluster", "access-log") as kept:
        tail = Tail(path)
        assert kept.resume(tail) == 0
        kept.advance(tail, 7)
        tail.close()
    assert resumed(data, path) == (MIDDLE, "access.log")


def begun(kept: Positions, path: Path) -> Tail:
    """A file of which the first block is read, with the name that it has then."""
    tail = Tail(path)
    kept.resume(tail)
    block = tail.read()
    assert block is not None
    kept.name(tail, block)
    return tail


def sent(data: Path, path: Path, acknowledged: int | None = None) -> str:
    """A run that sends the file to its end and is killed when so much is noted; returns what the file was named."""
    with positions(data) as kept:
        tail = begun(kept, path)
        named = orjson.loads((data / "ship.json").read_bytes())
        assert any(each["file"] == tail.file for each in named["cluster/access-log"]["files"])
        if acknowledged is not None:
            kept.advance(tail, acknowledged)
        kept.save()
        tail.close()
        return tail.file


@pytest.mark.parametrize("acknowledged", [None, 9, MIDDLE])
def test_a_file_keeps_its_name(data: Path, path: Path, acknowledged: int | None) -> None:
    """Over kills, growth, renames and compression: what is sent again is known again."""
    name = sent(data, path, acknowledged)
    path.write_bytes(LINES * 2)
    assert sent(data, path, acknowledged) == name
    renamed = path.rename(path.with_name("access.log.1"))
    assert sent(data, renamed, acknowledged) == name
    compressed = path.with_name("access.log.2.gz")
    compressed.write_bytes(gzip.compress(renamed.read_bytes()))
    renamed.unlink()
    assert sent(data, compressed, acknowledged) == name


@pytest.mark.parametrize("acknowledged", [None, 9, MIDDLE])
def test_other_content_has_another_name(data: Path, path: Path, acknowledged: int | None) -> None:
    """In the same inode, under the same path; and so has a file of another topic."""
    name = sent(data, path, acknowledged)
    path.write_bytes(b"x" + LINES)
    other = sent(data, path, acknowledged)
    path.write_bytes(LINES[:7])
    assert len({name, other, sent(data, path, None)}) == 3
    with Positions(data, "another cluster", "access-log") as kept:
        tail = Tail(path)
        assert kept.resume(tail) == 0
        assert tail.file == ""
        tail.close()


def test_content_in_place_of_what_was_cut_has_another_name(data: Path, path: Path) -> None:
    """`copytruncate`, noticed while the file is followed; its copy goes on under the old name."""
    with positions(data) as kept:
        tail = begun(kept, path)
        name = tail.file
        kept.advance(tail, MIDDLE)
        shutil.copy(path, path.with_name("access.log.1"))
        path.write_bytes(b"new\n" * 500)
        assert tail.is_replaced()
        kept.restart(tail)
        tail.reopen()
        block = tail.read()
        assert block is not None
        kept.name(tail, block)
        assert tail.file not in ("", name)
        kept.advance(tail, 8)
        tail.close()
    assert sent(data, path.with_name("access.log.1"), MIDDLE) == name


def test_a_backup_in_place_of_the_original_has_another_name(data: Path, path: Path) -> None:
    """It may lack what was sent since it was made: other lines would come to be where those were."""
    name = sent(data, path, MIDDLE)
    backup = path.read_bytes()
    path.unlink()
    path.with_name("takes its inode").write_bytes(b"")
    path.write_bytes(backup)
    assert resumed(data, path) == (MIDDLE, "access.log")
    assert sent(data, path, MIDDLE) != name


def test_the_host_is_that_of_the_name(data: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container has another one each time that it is made; the file's lines must not."""
    monkeypatch.setattr(subject.socket, "gethostname", lambda: "first")
    sent(data, path, MIDDLE)
    monkeypatch.setattr(subject.socket, "gethostname", lambda: "second")
    with positions(data) as kept:
        tail = Tail(path)
        kept.resume(tail)
        assert tail.host == "first"
        tail.close()


def test_after_a_reboot_a_file_has_another_name(data: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut takes back what was not on the disk, though Kafka has it; the position stays what it was."""
    name = sent(data, path, MIDDLE)
    monkeypatch.setattr(subject, "boot", lambda: "another")
    assert resumed(data, path) == (MIDDLE, "access.log")
    assert sent(data, path, MIDDLE) != name


def test_positions_of_an_earlier_version_are_read(data: Path, path: Path) -> None:
    """Their files have no names yet; they go on where they were."""
    sent(data, path, MIDDLE)
    kept = orjson.loads((data / "ship.json").read_bytes())
    for each in kept["cluster/access-log"]["files"]:
        for new in ("head_bytes", "file", "host", "boot"):
            del each[new]
    (data / "ship.json").write_bytes(orjson.dumps(kept))
    assert resumed(data, path) == (MIDDLE, "access.log")
    assert len(sent(data, path, MIDDLE)) == 32


def test_unfinished_files_are_found_under_their_new_names(data: Path, path: Path) -> None:
    """What was rotated while nobody read is found next to the path; another file there is not."""
    shipped(data, path, MIDDLE)
    renamed = path.rename(path.with_name("access.log.1"))
    path.write_bytes(b"new\n")
    path.with_name("error.log.1").write_bytes(LINES)
    with positions(data) as kept:
        assert kept.unfinished(path) == [renamed]
        assert kept.unfinished(path.with_name("error.log")) == []


def test_files_after_the_newest_known_one_were_missed(data: Path, path: Path) -> None:
    """access.log.4 was never read (before the first run), .3 was, and what came since is to be read: .2.gz and .1."""
    shipped(data, path, MIDDLE)
    path.rename(path.with_name("access.log.3"))
    path.with_name("access.log.4").write_bytes(b"older\n")
    path.with_name("access.log.2.gz").write_bytes(gzip.compress(b"newer\n"))
    path.with_name("access.log.1").write_bytes(b"newest\n")
    path.write_bytes(b"now\n")
    with positions(data) as kept:
        assert [other.name for other in kept.missed(path)] == ["access.log.3", "access.log.2.gz", "access.log.1"]
        with contextlib.closing(Tail(path.with_name("access.log.2.gz"))) as watched:
            assert [other.name for other in kept.missed(path, [watched])] == ["access.log.1"]


def following(kept: Positions, path: Path, offset: int = MIDDLE) -> Tail:
    """The tail of a log that was sent up to `offset` in this run."""
    tail = Tail(path)
    kept.resume(tail)
    kept.advance(tail, offset)
    return tail


@pytest.mark.parametrize("lines", [LINES, b"line 1\n"], ids=["long", "short"])
@pytest.mark.parametrize("over", [False, True], ids=["still open", "read to its end"])
def test_compressed_log_that_this_run_reads_was_not_missed(data: Path, path: Path, lines: bytes, over: bool) -> None:
    """Compressed at once by its rotation: its open file has all of it, and more may come there."""
    path.write_bytes(lines)
    with positions(data) as kept, contextlib.closing(following(kept, path, len(lines))) as tail:
        if over:
            tail.close()
        path.with_name("access.log.2.gz").write_bytes(gzip.compress(lines))
        path.with_name("access.log.1").write_bytes(b"newer\n")
        path.unlink()
        assert [other.name for other in kept.missed(path, [] if over else [tail])] == ["access.log.1"]


def test_compressed_log_of_which_nothing_was_sent_yet_was_not_missed(data: Path, path: Path) -> None:
    """Kafka was away: it is watched, but no position tells of it."""
    with positions(data) as kept, contextlib.closing(Tail(path)) as tail:
        path.with_name("access.log.1.gz").write_bytes(gzip.compress(LINES))
        path.unlink()
        assert kept.missed(path, [tail]) == {}


def test_log_that_is_being_compressed_counts_once(data: Path, path: Path) -> None:
    """gzip writes beside the file and removes it when all is there: until then only the file itself is whole."""
    with positions(data) as kept, contextlib.closing(following(kept, path)) as tail:
        one, two = path.with_name("access.log.1"), path.with_name("access.log.2")
        path.rename(path.with_name("access.log.3"))
        two.write_bytes(b"came and went\n" * 100)
        two.with_name("access.log.2.gz").write_bytes(gzip.compress(two.read_bytes())[:-9])
        one.write_bytes(b"newer\n")
        assert list(kept.missed(path, [tail])) == [two, one]


def test_another_file_in_the_inode_of_one_that_is_over_was_missed(data: Path, path: Path) -> None:
    """The first log was read to its end and removed; the next one got its inode, and was rotated unseen."""
    with positions(data) as kept:
        following(kept, path).close()
        path.write_bytes(b"other lines\n" * 100)  # the same inode
        (two := path.with_name("access.log.2")).write_bytes(LINES * 2)
        with contextlib.closing(following(kept, two)) as tail:
            path.rename(one := path.with_name("access.log.1"))
            assert list(kept.missed(path, [tail])) == [one]


def test_nothing_was_missed_before_the_first_run(data: Path, path: Path) -> None:
    """Where no file of the set is known, following begins with the path alone."""
    path.with_name("access.log.1").write_bytes(b"older\n")
    with positions(data) as kept:
        assert kept.missed(path) == {}


def test_copy_of_a_log_that_was_cut_is_known(data: Path, path: Path) -> None:
    """copytruncate while nobody looked: the copy goes on where the log was, the log at its start."""
    shipped(data, path, MIDDLE)
    copy = path.with_name("access.log.1")
    shutil.copy(path, copy)
    path.write_bytes(b"new\n")  # keeps the inode
    with positions(data) as kept:
        assert list(kept.missed(path)) == [copy]
    assert resumed(data, copy) == (MIDDLE, "access.log")
    assert resumed(data, path) == (0, "access.log")


def test_log_that_was_cut_and_begins_alike_goes_on_in_its_new_content(data: Path, path: Path) -> None:
    """Of two positions that fit, the one before the cut and the one after it, the latest holds."""
    shipped(data, path, MIDDLE)
    with positions(data) as kept, contextlib.closing(Tail(path)) as tail:
        kept.resume(tail)
        kept.restart(tail)
        kept.advance(tail, 2_000)
    assert resumed(data, path) == (2_000, "access.log")


def test_second_process_is_told_to_wait(data: Path) -> None:
    """Two that write positions would undo each other: the second gets one clear line."""
    with positions(data), pytest.raises(UserError, match="another process ships"), positions(data):
        pass
    with positions(data):
        pass  # free again


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"cluster/access-log": 7}', b"[]"])
def test_broken_file_of_positions_is_the_users_error(data: Path, content: bytes) -> None:
    """It is not passed over in silence: everything would be sent again."""
    data.mkdir()
    (data / "ship.json").write_bytes(content)
    with pytest.raises(UserError, match=r"ship\.json"), positions(data):
        pass


def test_data_directory_that_cant_be_made_is_the_users_error(tmp_path: Path) -> None:
    """One clear line with the path."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"), positions(tmp_path / "file" / "data"):
        pass


def test_save_replaces_the_file_as_a_whole(data: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash while writing leaves the file before; a disk that is full is the user's error."""
    shipped(data, path, MIDDLE)

    def full(_: Callable[..., object]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        shipped(data, path, len(LINES))
    monkeypatch.undo()
    assert resumed(data, path) == (MIDDLE, "access.log")


@pytest.mark.parametrize(
    ("says", "is_known"),
    [
        ("echo 3F2504E0-4F89-11D3-9A0C-0305E82C3301", True),
        ("echo no such oid", False),
        ("exit 1", False),
        ("printf '\\377'", False),
    ],
)
def test_the_boot_where_there_is_no_proc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, is_known: bool
) -> None:
    """A command says it, as on macOS; whatever else it says, the names of this run are used in this run only."""
    monkeypatch.setattr(subject, "_BOOT_ID", tmp_path / "none")
    monkeypatch.setattr(subject, "_ASK_BOOT_ID", ("/bin/sh", "-c", says))
    ask = subject.boot.__wrapped__
    assert (ask() == ask()) is is_known
    if is_known:
        assert ask() == "3f2504e0-4f89-11d3-9a0c-0305e82c3301"


def test_the_boot_where_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither file nor program."""
    monkeypatch.setattr(subject, "_BOOT_ID", tmp_path / "none")
    monkeypatch.setattr(subject, "_ASK_BOOT_ID", (str(tmp_path / "none"),))
    ask = subject.boot.__wrapped__
    assert ask() != ask()
