"""Following: rotation under our hands, on a clock of the test's own."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from kpi_app.sources.files import Identity, identity_of
from kpi_app.sources.follow import ROTATE_WAIT_S, Follower
from kpi_app.sources.tail import Tail


def nothing_missed(path: Path, watched: Iterable[Tail]) -> dict[Path, Identity]:
    """Nobody slept."""
    return {}


def identities(*paths: Path) -> dict[Path, Identity]:
    """Files, and which they are."""
    return {path: identity for path in paths if (identity := identity_of(path))}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log."""
    path = tmp_path / "access.log"
    path.write_bytes(b"one\n")
    return path


@pytest.fixture
def follower(path: Path) -> Iterator[Follower]:
    """It follows the log."""
    follower = Follower([path], [Tail(path)], nothing_missed)
    yield follower
    follower.close()


def test_renamed_file_is_read_before_the_new_one(follower: Follower, path: Path) -> None:
    """[old-----)  renamed, still written to
    [new-----)  both are read, the old one first, as its lines are older.
    """
    (old,) = follower.poll(0)
    path.rename(path.with_suffix(".1"))
    assert follower.poll(1) == [old]  # no new file yet
    path.write_bytes(b"two\n")
    first, second = follower.poll(2)
    assert first is old
    assert second.identity != old.identity


def test_renamed_file_is_over_after_a_quiet_while(follower: Follower, path: Path) -> None:
    """0 renamed, 50 a last line: over at 50 + ROTATE_WAIT_S, and only then."""
    (old,) = follower.poll(0)
    path.rename(path.with_suffix(".1"))
    follower.poll(0)
    follower.heard(old, 50)
    assert follower.retire(49 + ROTATE_WAIT_S) == []
    assert follower.retire(50 + ROTATE_WAIT_S) == [old]
    assert follower.poll(51 + ROTATE_WAIT_S) == []
    old.close()


def test_followed_file_is_never_over(follower: Follower, path: Path) -> None:
    """However quiet it is."""
    (tail,) = follower.poll(0)
    assert follower.retire(10**6) == []
    assert follower.poll(10**6) == [tail]


def test_file_that_comes_back_stays(follower: Follower, path: Path) -> None:
    """Renamed and renamed back: the same tail goes on."""
    (tail,) = follower.poll(0)
    moved = path.rename(path.with_suffix(".1"))
    follower.poll(1)
    moved.rename(path)
    assert follower.poll(2) == [tail]
    assert follower.retire(10**6) == []


def test_both_files_of_a_set_stay_one_tail_each(tmp_path: Path) -> None:
    """Following access.log and access.log.1: after a rotation the second path leads to the first's file."""
    log, one = tmp_path / "access.log", tmp_path / "access.log.1"
    log.write_bytes(b"new\n")
    one.write_bytes(b"old\n")
    follower = Follower([one, log], [Tail(one), Tail(log)], nothing_missed)
    before = follower.poll(0)
    one.rename(tmp_path / "access.log.2")
    log.rename(one)
    log.write_bytes(b"newest\n")
    after = follower.poll(1)
    assert after[:2] == before
    assert len(after) == 3
    follower.close()


def test_path_that_cant_be_read_is_told_once(
    follower: Follower, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A new log without the right to read it yet: the old one is read on, and the new one as soon as it can be."""
    (old,) = follower.poll(0)
    path.rename(path.with_suffix(".1"))
    path.mkdir()
    with caplog.at_level(logging.WARNING):
        assert follower.poll(1) == [old]
        assert follower.poll(2) == [old]
    assert caplog.text.count("can't be read for now") == 1
    path.rmdir()
    path.write_bytes(b"two\n")
    assert len(follower.poll(3)) == 2


def test_file_that_came_and_went_unseen_is_read_between(path: Path) -> None:
    """Two rotations between two looks: the first new file is read after the old one, before the newest."""
    one, two = path.with_suffix(".log.1"), path.with_suffix(".log.2")

    def missed(_: Path, watched: Iterable[Tail]) -> dict[Path, Identity]:
        assert identity_of(two) in {tail.identity for tail in watched}
        return identities(one)

    follower = Follower([path], [Tail(path)], missed)
    follower.poll(0)
    path.rename(two)
    one.write_bytes(b"two\n")
    path.write_bytes(b"three\n")
    assert [tail.head(9) for tail in follower.poll(1)] == [b"one\n", b"two\n", b"three\n"]
    follower.close()


def test_file_that_is_renamed_under_our_look_is_looked_for_again(path: Path) -> None:
    """A rotation between a look at the directory and the opening of what it showed: nothing is taken for another.

    access.log  [one)  .1, then .2
                       [two)  the log at the first look, .1 when it is opened
                              [three  the log when it is opened
    """
    one = path.with_suffix(".log.1")

    def rotate(_: Path, watched: Iterable[Tail]) -> dict[Path, Identity]:
        path.rename(one)
        path.write_bytes(b"three\n")
        return {}

    follower = Follower([path], [Tail(path)], lambda *given: looks.pop(0)(*given))
    looks = [rotate, lambda *_: identities(one)]
    path.rename(path.with_suffix(".log.2"))
    path.write_bytes(b"two\n")
    assert [tail.head(9) for tail in follower.poll(0)] == [b"one\n"]
    assert [tail.head(9) for tail in follower.poll(1)] == [b"one\n", b"two\n", b"three\n"]
    follower.close()
