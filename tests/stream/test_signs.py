"""What a worker waits for, by its state; a stand-in for the worker, real partitions of state."""

from dataclasses import dataclass, field
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

from kpi_app.stream.bend import Seen
from kpi_app.stream.partition import Watched
from kpi_app.stream.signs import REBALANCE_S, Signs
from kpi_app.stream.vigil import Sign, Vigil
from tests.web.worker import Partition, line


@dataclass
class Worker:
    """As much of a worker as its signs are of."""

    partitions: dict[int, Partition] = field(default_factory=dict)
    assigned: frozenset[int] | None = frozenset()
    given_up: int = 0
    loaded: int = 0
    answers: int = 0
    under_way: dict[int, int] = field(default_factory=dict)

    def committed(self) -> dict[int, int]:
        return {number: partition.state.committed_offset for number, partition in self.partitions.items()}

    def signs(self) -> dict[str, Sign]:
        folds = SimpleNamespace(under_way=self.under_way)
        return dict(Signs(cast(Any, self), cast(Any, folds), lambda: self.answers, "kafka:9092", 600.0)())


def watched(partition: Partition, end: int, ago_s: float = 0.0) -> Partition:
    """A partition whose end was seen."""
    read = partition.state.ledger.next_offset
    partition.watched = Watched(monotonic() - ago_s, Seen(read, read, end))
    return partition


def test_a_worker_with_nothing_to_do_waits_for_kafka_alone() -> None:
    """More workers than partitions, or an idle topic: it answers."""
    assert list(Worker().signs()) == ["kafka"]
    assert list(Worker({0: watched(Partition(), 0)}, frozenset({0})).signs()) == ["kafka"]


def test_whatever_comes_from_kafka_is_an_answer() -> None:
    """Not only that it says where partitions end: one without a leader has no end."""
    worker = Worker({0: Partition()})
    before = worker.signs()["kafka"].value
    worker.answers += 1
    asked = worker.signs()["kafka"].value
    worker.loaded += 1
    loaded = worker.signs()["kafka"].value
    worker.partitions[0].read(line(1)).checkpoint()
    assert len({before, asked, loaded, worker.signs()["kafka"].value}) == 4


def test_the_group_may_take_as_long_as_a_rebalance() -> None:
    """A member that is slow to join again holds all others up."""
    sign = Worker(assigned=None).signs()["group"]
    assert sign.more_s == REBALANCE_S


def test_a_take_over_goes_on_while_its_tables_are_read() -> None:
    """A large changelog takes as long as it takes."""
    worker = Worker(assigned=frozenset({0, 3}))
    before = worker.signs()["take-over"]
    assert before.what == "nothing was read of the state of partitions [0, 3]"
    worker.loaded += 1
    assert worker.signs()["take-over"].value != before.value


def test_the_next_batch_is_another_sign() -> None:
    """What counts is how long one batch takes."""
    worker = Worker(under_way={3: 17})
    before = worker.signs()["fold 3"]
    worker.under_way[3] = 18
    assert worker.signs()["fold 3"].value != before.value


def test_lines_that_wait_are_to_be_read() -> None:
    """Of all partitions together, and with more patience of each one."""
    worker = Worker({0: watched(Partition(), 5), 1: watched(Partition(), 0)}, frozenset({0, 1}))
    signs = worker.signs()
    assert signs["lines"].what == "lines wait in partitions [0], and none was read"
    assert signs["lines 0"].times > 1
    assert "lines 1" not in signs
    worker.partitions[1].read(line(1)).checkpoint()
    assert worker.signs()["lines"].value != signs["lines"].value
    assert worker.signs()["lines 0"] == signs["lines 0"]


def test_a_partition_whose_end_is_not_seen_can_not_be_read_either() -> None:
    """It has no leader: starting again would not give it one. One of which nothing was ever seen has no lines."""
    worker = Worker({0: watched(Partition(), 5, ago_s=60), 1: Partition()}, frozenset({0, 1}))
    signs = worker.signs()
    assert {key: sign.known for key, sign in signs.items()} == {"kafka": True, "lines": False, "lines 0": False}
    worker.partitions[1] = watched(Partition(), 5)
    assert worker.signs()["lines"].known
    assert not worker.signs()["lines 0"].known


def test_a_reader_that_is_stuck_ends_though_ends_are_not_seen_all_the_time() -> None:
    """A broker of three is away: looks fail now and then, for longer than they are good for."""
    vigil, stall = Vigil(120.0, 1.0), None
    worker = Worker({0: Partition()}, frozenset({0}))
    for second in range(300):
        worker.answers += 1
        watched(worker.partitions[0], 5, ago_s=60 if second % 10 > 6 else 0)
        stall = vigil.look(worker.signs(), float(second))
    assert stall is not None
    assert stall.share >= 1
    assert stall.what == "lines wait in partitions [0], and none was read"


def test_a_reader_that_passes_over_aborted_records_goes_on() -> None:
    """None of them was a line: the position moves, and what was read does not."""
    worker = Worker({0: Partition().seen(delivered=0, position=100_000, end=50_000_000)}, frozenset({0}))
    before = worker.signs()
    worker.partitions[0].seen(delivered=0, position=200_000, end=50_000_000)
    after = worker.signs()
    assert before.keys() == after.keys() >= {"lines", "lines 0"}
    assert before["lines"].value != after["lines"].value
    assert before["lines 0"].value != after["lines 0"].value


def test_what_was_read_is_to_be_saved() -> None:
    """A checkpoint comes every KPI_EMIT_EVERY, ten minutes here."""
    worker = Worker({0: Partition().read(line(1))}, frozenset({0}))
    sign = worker.signs()["saved 0"]
    assert sign.more_s == 600
    worker.partitions[0].checkpoint()
    assert "saved 0" not in worker.signs()
