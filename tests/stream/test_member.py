"""A worker's place in the group: whose it is, who holds it, and what ends a worker that can't keep it."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance
from aiokafka.errors import KafkaError, RequestTimedOutError, kafka_errors

from kpi_app.errors import UserError
from kpi_app.stream.bend import member
from kpi_app.stream.bend.stop import EXIT_CODE

URL = "http://127.0.0.1:6066"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Takes a place as a new process would: nothing is held yet."""

    def take(directory: Path, url: str = URL) -> str:
        with monkeypatch.context() as patched:
            patched.setattr(member, "_hold", lambda _: None)
            return member.take_place(directory, url)

    return take


def test_who_comes_back_to_its_directory_has_its_place(tmp_path: Path, place: Any) -> None:
    """The name is kept on disk; another directory is another place."""
    assert place(tmp_path / "one") == place(tmp_path / "one")
    assert place(tmp_path / "one") != place(tmp_path / "other")


def test_another_host_or_url_is_another_place(tmp_path: Path, place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker gives a place's old assignment back, which faust does not take under another URL."""
    places = {place(tmp_path), place(tmp_path, "http://127.0.0.1:6067")}
    monkeypatch.setattr("socket.gethostname", lambda: "another-host")  # a copied disk, a golden image
    assert len(places | {place(tmp_path)}) == 3


@pytest.mark.parametrize(
    "damaged",
    [b"", b"\n", b"\0" * 33, b"\xff\xfe", b"0" * 31, b"0" * 33, b"A" * 32, b"0" * 32 + b"\n\n", b"0" * (1 << 20)],
    ids=["empty", "blank", "zeros", "no text", "short", "long", "capitals", "more", "much more"],
)
def test_a_damaged_name_is_made_anew(tmp_path: Path, place: Any, damaged: bytes) -> None:
    """A crash or a stranger may leave anything in the file: it never gets in the way of a start."""
    (tmp_path / member.FILE).write_bytes(damaged)
    assert place(tmp_path) == place(tmp_path)
    assert len((tmp_path / member.FILE).read_bytes()) == 33
    assert [path.name for path in tmp_path.iterdir()] == [member.FILE]


def test_a_directory_is_held_by_one(tmp_path: Path) -> None:
    """The second is refused before it joins, or it would take the place of the first."""
    member.take_place(tmp_path, URL)
    with pytest.raises(UserError, match="another worker uses"):
        member.take_place(tmp_path, URL)


def test_a_directory_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    """What can't be written to is the user's to mend."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to"):
        member.take_place(tmp_path / "file", URL)
    (tmp_path / member.FILE).mkdir()
    with pytest.raises(UserError, match="cannot write to"):
        member.take_place(tmp_path, URL)


class _Cluster:
    """As much of a cluster as is asked for: how many partitions, and who wants to know."""

    partitions = 8

    def __init__(self) -> None:
        self.listeners: list[Any] = []

    def add_listener(self, listener: Any) -> None:
        self.listeners.append(listener)

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self.partitions))

    def refresh(self, partitions: int) -> None:
        self.partitions = partitions
        for listener in self.listeners:
            listener(self)


def test_workers_with_equal_urls_do_not_join_for_ever() -> None:
    """faust tells assignments apart by URLs: where two are equal, half of the partitions seem to be nobody's."""
    cluster, joins = _Cluster(), []
    coordinator = SimpleNamespace(request_rejoin=lambda: joins.append(cluster.partitions))
    consumer = SimpleNamespace(_client=SimpleNamespace(cluster=cluster), _coordinator=coordinator)
    assigned = 0
    member.watch_partitions(cast(Any, consumer), "access-log", lambda: assigned)
    cluster.refresh(8)
    assert joins == [], "nothing is assigned yet"
    assigned = 4
    for partitions in (8, 8, 8, 16, 16, 16):
        cluster.refresh(partitions)
    assert joins == [8, 16], "once, and once more when there are more"
    assigned = 16
    cluster.refresh(16)
    cluster.refresh(17)
    assert joins == [8, 16, 17]


class _Coordinator:
    """As much of a coordinator as is watched."""

    def __init__(self, end: BaseException | None = None) -> None:
        self._closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._coordination_task = asyncio.create_task(self._coordinate(end))
        self.pushed: list[BaseException] = []

    async def _coordinate(self, end: BaseException | None) -> None:
        if end is not None:
            raise end
        await asyncio.Event().wait()

    def _push_error_to_user(self, error: BaseException) -> None:
        self.pushed.append(error)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes with which the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr("kpi_app.stream.bend.stop.end", codes.append)
    return codes


def _watched(coordinator: _Coordinator) -> Any:
    member.watch_place(cast(Any, SimpleNamespace(_coordinator=coordinator)))
    return coordinator


async def test_the_end_of_the_coordination_ends_the_worker(ends: list[int], caplog: pytest.LogCaptureFixture) -> None:
    """aiokafka's task would be gone, and the worker wait for ever."""
    coordinator = _watched(_Coordinator(AssertionError("another URL")))
    await asyncio.wait([coordinator._coordination_task])
    await asyncio.sleep(0)  # its callbacks' turn
    assert ends == [EXIT_CODE]
    assert "another URL" in caplog.text


async def test_an_orderly_end_of_the_coordination_is_none_of_the_workers(ends: list[int]) -> None:
    """Who closes the consumer, or the loop, wants the task to end."""
    closing = _watched(_Coordinator(KafkaError("late")))
    closing._closing.set_result(None)
    cancelled = _watched(_Coordinator())
    cancelled._coordination_task.cancel()
    await asyncio.wait([closing._coordination_task, cancelled._coordination_task])
    await asyncio.sleep(0)
    assert closing._coordination_task.exception()
    closing._push_error_to_user(KafkaError("late"))
    assert (ends, len(closing.pushed)) == ([], 1)


async def test_what_the_group_refuses_ends_the_worker_and_what_passes_does_not(
    ends: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Only what can be tried again is left to aiokafka."""
    coordinator = _watched(_Coordinator())
    coordinator._push_error_to_user(RequestTimedOutError())
    assert ends == []
    coordinator._push_error_to_user(KafkaError("no member of this kind"))
    assert ends == [EXIT_CODE]
    assert "worker stops: the group does not keep it as a member: KafkaError: no member of this kind" in caplog.text
    coordinator._coordination_task.cancel()


async def test_a_place_that_another_worker_has_is_named() -> None:
    """aiokafka does not know error 82, and hands on no more than the words of what it does not know."""
    assert kafka_errors[82] is member.PlaceTaken

    async def answer(request: object) -> object:
        return SimpleNamespace(error_code=82)

    coordinator = SimpleNamespace(
        _send_req=answer, member_id="", _group_instance_id="0", generation=-1, _rebalance_timeout_ms=1
    )
    assignor = SimpleNamespace(name="faust", metadata=lambda topics: b"")
    subscription = SimpleNamespace(topics=["access-log"], active=True)
    join = CoordinatorGroupRebalance(coordinator, "group", 0, subscription, [assignor], 10_000, 1)
    with pytest.raises(KafkaError, match="another worker has this place in the group"):
        await join.perform_group_join()
