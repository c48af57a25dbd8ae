"""Cut in the middle of a long read (`copytruncate`): no line gets the place of another one, whatever is sent again.

What is sent is kept in a list instead of a topic, so that the cut and the kill come between two sends, always the same.
"""

import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from kpi_app.sources import ship as subject
from kpi_app.sources.outbox import Outbox
from kpi_app.sources.pace import Pace
from kpi_app.sources.positions import Positions
from kpi_app.sources.ship import Shipper
from kpi_app.sources.traffic import traffic


class Killed(BaseException):
    """Nothing in the program catches it."""


class Topic:
    """All that was sent; `then` is called after each send, with how many there were in this run."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.then: Callable[[int], None] = lambda _: None
        self.sends = 0

    async def send(self, values: Iterable[bytes], lane: int, acked: Callable[[], None]) -> None:
        """Acknowledged at once."""
        self.values += values
        acked()
        self.sends += 1
        self.then(self.sends)

    def settle(self) -> None:
        """Nothing is under way."""

    async def drain(self) -> None:
        """Nothing is under way."""

    def places(self) -> dict[tuple[str, int], set[str]]:
        """The lines that came for each first byte of a file; there is but one, or workers lose the others."""
        found: dict[tuple[str, int], set[str]] = {}
        for each in map(orjson.loads, self.values):
            found.setdefault((each["file"], each["offset"]), set()).add(each["log"])
        return found


def lines(count: int, seed: int) -> list[str]:
    """Lines of a log; with another seed others."""
    return list(traffic(count, datetime(2026, 3, seed, tzinfo=UTC), 0.01, seed))


def text(logged: Iterable[str]) -> bytes:
    """As a file holds them."""
    return "".join(f"{line}\n" for line in logged).encode()


async def run(topic: Topic, data: Path, paths: list[Path], follow: bool) -> None:
    """A run of `kpi ship`. `Killed` leaves the positions as they were last written, like SIGKILL."""
    noted = data / "ship.json"
    left = b""

    def remember(count: int) -> None:
        nonlocal left
        left = noted.read_bytes()
        then(count)

    then, topic.then, topic.sends = topic.then, remember, 0
    try:
        with Positions(data, "cluster", "topic") as positions:
            await Shipper(cast(Outbox, topic), positions, Pace(None)).run(paths, follow)
    except Killed:
        noted.write_bytes(left)
    topic.then = lambda _: None


@pytest.mark.parametrize("follow", [True, False], ids=["followed", "read once"])
@pytest.mark.parametrize("begun", [1, 2, 3])
async def test_what_is_cut_while_it_is_read_loses_no_line_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: int, follow: bool
) -> None:
    """Copied and cut after some sends, written anew past what was read, killed later: the copy goes on as it began."""
    monkeypatch.setattr(subject, "_SAVE_EVERY_S", float("inf"))  # but for names
    log, copy, data, topic = tmp_path / "access.log", tmp_path / "access.log.1", tmp_path / "data", Topic()
    old, new = lines(9_000, seed=1), lines(9_000, seed=2)
    log.write_bytes(text(old))

    def rotate_then_kill(sends: int) -> None:
        if sends == begun:
            shutil.copy(log, copy)
            log.write_bytes(text(new))  # keeps the inode
        if sends == begun + 2:
            raise Killed

    topic.then = rotate_then_kill
    await run(topic, data, [log], follow)
    sent = len(topic.values)
    await run(topic, data, [copy, log], follow=False)
    places = topic.places()
    assert {place for place, found in places.items() if len(found) > 1} == set()
    assert sorted(line for found in places.values() for line in found) == sorted([*old, *new])
    assert len(topic.values) > sent, "the kill made it send some again"


async def test_the_half_of_a_line_is_not_sent_with_another_files_half(tmp_path: Path) -> None:
    """A last line without newline is sent at a file's end, unless the file was cut meanwhile."""
    log, topic = tmp_path / "access.log", Topic()
    log.write_bytes(text(lines(10, seed=1)) + b"half")
    topic.then = lambda _: cast(Any, log.write_bytes(text(lines(10, seed=2)) + b"x" * 5_000))
    await run(topic, tmp_path / "data", [log], follow=False)
    assert [orjson.loads(value)["log"] for value in topic.values] == lines(10, seed=1)
