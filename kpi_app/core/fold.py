"""Fold: parsed lines, in offset order, become contributions to windows.

Everything is decided line by line from the offsets before it, never from where a batch begins or ends:

    watermark   the greatest event time of the accepted lines before this one
    passed      the greatest watermark - grace there ever was: with a longer grace it stays, as what it sealed is gone
    late        window end <= passed; counted, in a part of its own
    dropped     late, and window end + grace + correct_for <= watermark (only where correct_for is set)
    future      event time > the Kafka record's own time + future_limit; rejected, moves nothing
    duplicate   it is in the books already (see `core/seen.py`), whatever would become of it now; moves nothing
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from kpi_app.core.aggregates import Measure, Plain, Split, Value
from kpi_app.core.groups import Groups
from kpi_app.core.seen import Places, SeenFile, Told, tell
from kpi_app.core.segment import SegmentKey, late_part
from kpi_app.core.windows import US_PER_S


@dataclass(frozen=True)
class TimeRules:
    """The settings that decide where a line counts. Seconds."""

    window_s: int
    grace_s: int
    future_limit_s: int
    correct_for_s: int | None = None  # None: late lines are counted for ever


@dataclass
class Folded:
    """What a run of offsets of one partition adds to its state."""

    next_offset: int
    watermark_us: int | None
    passed_us: int | None = None
    lines: int = 0
    counted: int = 0
    late_dropped: int = 0
    duplicates: int = 0
    #: Files that brought lines that were no duplicates, by their keys, and keys of those that are to be forgotten.
    seen: dict[bytes, SeenFile] = field(default_factory=dict)
    forgotten: frozenset[bytes] = frozenset()
    #: Offset and reason of each line that was not accepted, in offset order.
    rejected: list[tuple[int, str]] = field(default_factory=list)
    parts: dict[SegmentKey, dict[str, Value]] = field(default_factory=dict)


def fold(
    parsed: pl.DataFrame,
    watermark_us: int | None,
    rules: TimeRules,
    measures: Sequence[Measure],
    passed_us: int | None = None,
    places: Places | None = None,
    seen: Mapping[bytes, SeenFile] | None = None,
) -> Folded:
    """Fold the lines of consecutive offsets of one partition, at least one.

    `parsed`: `offset` (Int64, ascending), `record_ms` (Int64: the Kafka record's time, null if it has
    none), `event_us` (Int64, 0 to the year 9999, null where rejected), `reason` (String, null where fine)
    and what the measures need. Their expressions may use `late` (Boolean) and `second` (Int64: the whole
    second within the window), too. `watermark_us` and `passed_us` are those of the offsets before, None before any
    event. `places`: where in their files the lines are, and `seen`: what is remembered of these; without places no line
    is known again.
    """
    judged = _judge(parsed, rules)
    told = None if places is None else tell(places, judged["offset"], judged["reason"].is_null(), seen or {})
    lines = _place(judged if told is None else _without(judged, told), watermark_us, passed_us, rules)
    counted = lines.filter("counts")
    duplicates = 0 if told is None else int(told.duplicates.sum())
    rejects = lines.filter(pl.col("reason").is_not_null()).select("offset", "reason")
    watermark_us = _later(watermark_us, lines["event_us"].max())
    return Folded(
        next_offset=int(parsed["offset"][-1]) + 1,
        watermark_us=watermark_us,
        passed_us=_later(passed_us, None if watermark_us is None else watermark_us - rules.grace_s * US_PER_S),
        lines=len(lines),
        counted=len(counted),
        late_dropped=len(lines) - len(counted) - len(rejects) - duplicates,
        duplicates=duplicates,
        seen={} if told is None else told.changed,
        forgotten=frozenset() if told is None else told.forgotten,
        rejected=list(rejects.iter_rows()),
        parts=_aggregate(counted, measures),
    )


def _later(left: int | None, right: object) -> int | None:
    return max((time for time in (left, right) if isinstance(time, int)), default=None)


def _judge(parsed: pl.DataFrame, rules: TimeRules) -> pl.DataFrame:
    """Reject the lines from the future."""
    is_future = _is_future(rules.future_limit_s)
    return parsed.with_columns_seq(
        reason=pl.when(is_future).then(pl.lit("future")).otherwise("reason"),
        event_us=pl.when(~is_future).then("event_us"),
    )


def _without(judged: pl.DataFrame, told: Told) -> pl.DataFrame:
    """Take from the duplicates what they could be counted or rejected by."""
    if not told.duplicates.any():
        return judged
    return judged.with_columns(pl.when(~told.duplicates).then(pl.col("event_us", "reason")))


def _place(judged: pl.DataFrame, watermark_us: int | None, passed_us: int | None, rules: TimeRules) -> pl.DataFrame:
    """Give each line its window, its lateness, and whether it counts."""
    size_us = rules.window_s * US_PER_S
    event, window = pl.col("event_us"), pl.col("window_us")
    closes = window + size_us + rules.grace_s * US_PER_S
    return (
        judged.with_columns_seq(watermark_us=_watermark(watermark_us), window_us=event - event % size_us)
        .with_columns_seq(
            late=_passed(closes) | (window + size_us <= pl.lit(passed_us, dtype=pl.Int64)).fill_null(False),
            second=(event - window) // US_PER_S,
            counts=event.is_not_null() & ~_is_dropped(closes, rules.correct_for_s),
        )
        .with_columns(part=pl.when("late").then(late_part(pl.col("offset"))).otherwise(0))
    )


def _is_future(limit_s: int) -> pl.Expr:
    # compared in milliseconds, rounded up: a producer's wild time must not overflow as microseconds
    ahead_ms = (pl.col("event_us") - limit_s * US_PER_S + 999) // 1_000
    return (ahead_ms > pl.col("record_ms")).fill_null(False)


def _watermark(before_us: int | None) -> pl.Expr:
    """Give each line the greatest event time before it, null where there is none."""
    here = pl.col("event_us").fill_null(strategy="forward").cum_max().shift(1)
    return pl.max_horizontal(here, pl.lit(before_us, dtype=pl.Int64))


def _passed(time_us: pl.Expr) -> pl.Expr:
    return (time_us <= pl.col("watermark_us")).fill_null(False)


def _is_dropped(closes_us: pl.Expr, correct_for_s: int | None) -> pl.Expr:
    return pl.lit(False) if correct_for_s is None else _passed(closes_us + correct_for_s * US_PER_S)


def _aggregate(counted: pl.DataFrame, measures: Sequence[Measure]) -> dict[SegmentKey, dict[str, Value]]:
    keys, parts = _parts(counted)
    plain = {m.name: m.aggregate for m in measures if isinstance(m.aggregate, Plain)}
    of = pl.Series("of", parts.place)
    frame = counted.group_by(of).agg(**{name: kind.over() for name, kind in plain.items()})
    zeros = [(m.name, m.aggregate) for m in measures if m.name not in plain]
    found = {
        keys[number]: {name: kind.lift(cell) for (name, kind), cell in zip(plain.items(), row, strict=True)}
        | {name: kind.zero() for name, kind in zeros}
        for number, *row in frame.iter_rows()
    }
    for measure in measures:
        if isinstance(measure.aggregate, Split):
            for number, value in measure.aggregate.split(counted, parts):
                found[keys[number]][measure.name] = value
    return found


def _parts(counted: pl.DataFrame) -> tuple[list[SegmentKey], Groups]:
    """Which segments the lines are of, and their groups by these."""
    starts, lates = (Groups.by(counted[name].to_numpy()) for name in ("window_us", "part"))
    parts, start, late = starts.paired(lates.place, len(lates.found))
    windows_s, numbers = starts.found[start] // US_PER_S, lates.found[late]
    return [SegmentKey(*key) for key in zip(windows_s.tolist(), numbers.tolist(), strict=True)], parts
