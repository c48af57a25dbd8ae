"""The signs of a worker's progress: each thing that it waits for, with what changes as long as it goes on.

Postgres is not among them: without it a worker does its part, and starting it again would mend nothing.
"""

from collections.abc import Callable, Mapping
from itertools import chain
from time import monotonic

from kpi_app.stream.folds import Folds
from kpi_app.stream.loops import WATCH_VALID_S
from kpi_app.stream.ownership import Ownership
from kpi_app.stream.partition import Partition
from kpi_app.stream.readings import lag
from kpi_app.stream.vigil import Sign

#: How much longer the group may let a worker wait: as long as it waits for a member that is slow to join again.
REBALANCE_S = 300.0

#: How many times longer a partition may wait for its turn while lines of others are read.
TURNS = 5.0

#: Where batches are folded: threads of asyncio's executor.
FOLDING_THREADS = "asyncio_"


class Signs:
    """Reads the signs, on the worker's loop. `answers()` counts what the brokers answered."""

    def __init__(
        self, owned: Ownership, folds: Folds, answers: Callable[[], int], brokers: str, emit_every_s: float
    ) -> None:
        self._owned = owned
        self._folds = folds
        self._answers = answers
        self._brokers = brokers
        self._emit_every_s = emit_every_s

    def __call__(self) -> Mapping[str, Sign]:
        """What this worker waits for now, causes first."""
        return dict(
            chain(self._kafka(), self._group(), self._take_over(), self._folding(), self._lines(), self._saved())
        )

    def _kafka(self) -> list[tuple[str, Sign]]:
        moved = (self._answers(), self._owned.loaded, sum(self._owned.committed().values()))
        return [("kafka", Sign(f"Kafka ({self._brokers}) has not answered", moved))]

    def _group(self) -> list[tuple[str, Sign]]:
        if self._owned.assigned is not None:
            return []
        what = "the group has not given us our partitions"
        return [("group", Sign(what, self._owned.given_up, more_s=REBALANCE_S))]

    def _take_over(self) -> list[tuple[str, Sign]]:
        waiting = sorted((self._owned.assigned or frozenset()) - self._owned.partitions.keys())
        what = f"nothing was read of the state of partitions {waiting}"
        return [("take-over", Sign(what, (tuple(waiting), self._owned.loaded)))] if waiting else []

    def _folding(self) -> list[tuple[str, Sign]]:
        return [
            (f"fold {n}", Sign(f"a batch of partition {n} has been folded", batch, thread=FOLDING_THREADS))
            for n, batch in self._folds.under_way.items()
        ]

    def _lines(self) -> list[tuple[str, Sign]]:
        """Those of all partitions, and those of each one: a partition whose turn does not come is stuck, too."""
        read = {n: _read(partition) for n, partition in sorted(self._owned.partitions.items())}
        waiting = {n: _is_seen(self._owned.partitions[n]) for n in read if lag(self._owned.partitions[n])}
        if not waiting:
            return []
        each = [
            (f"lines {n}", Sign(f"lines wait, and none of partition {n} was read", read[n], times=TURNS, known=known))
            for n, known in waiting.items()
        ]
        what = f"lines wait in partitions {list(waiting)}, and none was read"
        return [("lines", Sign(what, tuple(read.items()), known=any(waiting.values()))), *each]

    def _saved(self) -> list[tuple[str, Sign]]:
        return [
            (
                f"saved {n}",
                Sign(
                    f"what was read of partition {n} has not been saved",
                    partition.state.committed_offset,
                    more_s=self._emit_every_s,
                ),
            )
            for n, partition in self._owned.partitions.items()
            if partition.state.ledger.next_offset > partition.state.committed_offset
        ]


def _read(partition: Partition) -> tuple[int, int]:
    """How far it was read: what is passed over, since its transaction was aborted, moves the position alone."""
    return partition.state.ledger.next_offset, partition.watched.seen.position if partition.watched else -1


def _is_seen(partition: Partition) -> bool:
    """Whether its end was seen just now: a partition without a leader can't be read, nor its end seen."""
    return partition.watched is not None and monotonic() - partition.watched.at_s < WATCH_VALID_S
