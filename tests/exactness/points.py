"""The steps between which a worker can end: what a crash could leave half done, by name.

A point is a method of the product and a moment: before it is called or after it has returned. `when` passes over
calls in which the step had nothing to do, so that ending there always interrupts something.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, NamedTuple

_PARTITION = "kpi_app.stream.partition:Partition"
_OWNERSHIP = "kpi_app.stream.ownership:Ownership"
_CONSUMER = "kpi_app.stream.bend.consumer:BatchConsumer"
_SINK = "kpi_app.sinks.postgres:PostgresSink"


class Half(list[Any]):
    """The first half of the segments of a checkpoint; the second comes with the next call."""


class Call(NamedTuple):
    """A call of a hooked function, `self` first; `result` is None before it returned."""

    arguments: tuple[Any, ...]
    result: Any


When = Callable[[Call], bool]


@dataclass(frozen=True)
class Point:
    """A named moment of a function of the product: `module:Class` or `module`, and the function's name."""

    name: str
    owner: str
    function: str
    moment: Literal["before", "after"] = "after"
    when: When = lambda call: True


def _with(attribute: str) -> When:
    """The argument has some of these."""
    return lambda call: bool(getattr(call.arguments[1], attribute))


def _with_some(call: Call) -> bool:
    return bool(call.arguments[1])


def _with_result(call: Call) -> bool:
    return bool(call.result)


def _with_news(call: Call) -> bool:
    flush = call.arguments[1]
    return bool(flush.ledger.next_offset - 1 > flush.flushed)


def _of_half(call: Call) -> bool:
    return type(call.arguments[1]) is Half


CHECKPOINT = (
    Point("checkpoint: begun", _PARTITION, "_send_segments", "before", _with("puts")),
    Point("checkpoint: half of the segments sent", _PARTITION, "_send", "after", _of_half),
    Point("checkpoint: segments sent", _PARTITION, "_send_segments", "after", _with("puts")),
    Point("checkpoint: drops sent", _PARTITION, "_send_drops", "after", _with("drops")),
    Point("checkpoint: files sent", _PARTITION, "_send_files", "after", _with("seen")),
    Point("checkpoint: books sent", _PARTITION, "_send_books", "after", _with("puts")),
    Point("checkpoint: dead letters sent", _PARTITION, "_send_dead_letters", "after", _with_some),
    Point("checkpoint: committed", _PARTITION, "_write_table", "before", _with("puts")),
    Point("checkpoint: drops committed", _PARTITION, "_write_table", "before", _with("drops")),
    Point("checkpoint: in the table", _PARTITION, "_write_table", "after", _with("puts")),
    Point("checkpoint: drops in the table", _PARTITION, "_write_table", "after", _with("drops")),
    Point("checkpoint: in the state", "kpi_app.core.state:PartitionState", "commit", "after", _with("puts")),
    Point("checkpoint: announced", _OWNERSHIP, "checkpoint", "after", lambda c: c.arguments[0].checkpointed.is_set()),
)

TAKE_OVER = (
    Point("take-over: fenced", _OWNERSHIP, "_fence", "after", _with_some),
    Point("take-over: one partition caught up", "kpi_app.stream.table:TablePartition", "write"),
    Point("take-over: caught up", "kpi_app.stream.ownership", "catch_up"),
    Point("take-over: one partition loaded", "kpi_app.stream.ownership", "load_state"),
    Point("take-over: loaded", "kpi_app.stream.ownership", "check_source"),
    Point("take-over: state in place", _OWNERSHIP, "take_over", "after", _with_some),
    Point("take-over: sought", _CONSUMER, "seek_to"),
    Point("take-over: first lines folded", _PARTITION, "apply"),
)

FLUSH = (
    Point("flush: about to begin", _SINK, "flush", "before", _with_news),
    Point("flush: ledger locked", "kpi_app.sinks.flush", "lock_ledger"),
    Point("flush: segments written", "kpi_app.sinks.flush", "write_segments", "after", _with_result),
    Point("flush: windows marked", "kpi_app.sinks.flush", "mark_windows"),
    Point("flush: files written", "kpi_app.sinks.flush", "write_files"),
    Point("flush: ledger written", "kpi_app.sinks.flush", "write_ledger"),
    Point("flush: committed", _SINK, "flush", "after", _with_news),
    Point("flush: known to the state", "kpi_app.stream.loops:Loops", "_flush"),
)

MERGE = (
    Point("merge: windows locked", "kpi_app.sinks.merge", "lock_windows", "after", _with_result),
    Point("merge: marks taken", "kpi_app.sinks.merge", "take_marks", "after", _with_result),
    Point("merge: segments read", "kpi_app.sinks.merge", "read_segments"),
    Point("merge: united", "kpi_app.sinks.merge", "unite"),
    Point("merge: rows written", "kpi_app.sinks.merge", "write_rows"),
    Point("merge: lists written", "kpi_app.sinks.merge", "write_tops"),
    Point("merge: larger windows marked", "kpi_app.sinks.merge", "mark_larger"),
    Point("merge: committed", _SINK, "merge", "after", _with_result),
)

STOP = (
    Point("stop: about to begin", "kpi_app.worker:Worker", "finish", "before"),
    Point("stop: sink about to be closed", _SINK, "close", "before"),
    Point("stop: all given up", "kpi_app.worker:Worker", "finish"),
)

GIVE_UP = (
    Point("give-up: about to begin", _OWNERSHIP, "give_up", "before", _with_some),
    Point("give-up: last checkpoints taken", _OWNERSHIP, "checkpoint_last", "after", _with_some),
    Point("give-up: checkpointed and let go", _OWNERSHIP, "give_up", "after", _with_some),
    Point("give-up: group's offsets committed", _CONSUMER, "commit"),
)

#: Not for ends, but for faults and for holding one thing back while another happens.
OTHERS = (
    Point("fold: batch arrives", _OWNERSHIP, "fold", "before"),
    Point("merge: about to begin", _SINK, "merge", "before"),
    Point("merge: over", _SINK, "merge"),
)

POINTS = (*CHECKPOINT, *TAKE_OVER, *FLUSH, *MERGE, *STOP, *GIVE_UP, *OTHERS)


def place(owner: str) -> Any:
    """The class or module that `module:Class` or `module` names."""
    module, _, name = owner.partition(":")
    return getattr(import_module(module), name) if name else import_module(module)


def hooked() -> Iterator[tuple[str, str, list[Point]]]:
    """Each function that has points, with its points."""
    by_function: dict[tuple[str, str], list[Point]] = {}
    for point in POINTS:
        by_function.setdefault((point.owner, point.function), []).append(point)
    for (owner, function), points in by_function.items():
        yield owner, function, points


def is_async(owner: str, function: str) -> bool:
    """Whether the function is a coroutine function, whose caller can be held."""
    return inspect.iscoroutinefunction(getattr(place(owner), function))
