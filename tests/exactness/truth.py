"""What the lines sent must come to, by the independent recount, and every row and book compared with it."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from tests.exactness.lines import GRACE_S, LARGER_S, WINDOW_S
from tests.exactness.listed import Key, Listed
from tests.recount import EPOCH, Recount, Window, recount


class Sent(NamedTuple):
    """A record as it is in the raw topic."""

    offset: int
    value: bytes | None
    timestamp_ms: int


class Inexact(AssertionError):
    """Rows, books or dead letters are not what the lines sent come to."""


class Truth(NamedTuple):
    """What has to be in Postgres and in the dead letters."""

    #: By window size and start.
    rows: dict[tuple[int, datetime], dict[str, Any]]
    #: Requests, bytes and errors by window, dimension and value.
    listed: dict[Key, list[int]]
    #: By partition.
    books: dict[int, dict[str, Any]]
    #: Partition, offset and reason of each dead letter, with how often it is there.
    dead_letters: Counter[tuple[int, int, str]]


class Part(NamedTuple):
    """What one partition comes to."""

    count: Recount
    listed: Listed
    books: dict[str, Any]
    dead_letters: Counter[tuple[int, int, str]]


def truth(
    sent: Mapping[int, Iterable[Sent]], lost: Mapping[int, int], sizes_s: Sequence[int] = (WINDOW_S, LARGER_S)
) -> Truth:
    """Count what was sent to each partition, in the order of offsets; each is gone through several times.

    `lost`: offsets that were removed before they were read. `sizes_s`: of the windows, the base (`WINDOW_S`) first.
    """
    parts = {number: part(number, records, lost.get(number, 0), sizes_s) for number, records in sent.items()}
    return united(parts, sizes_s)


def part(partition: int, records: Iterable[Sent], lost: int, sizes_s: Sequence[int]) -> Part:
    """The same of one partition; partitions have nothing in common until their windows are united."""
    count, listed, letters = _count(records), Listed(sizes_s), Counter[tuple[int, int, str]]()
    next_offset = 0
    for number, record in enumerate(records):
        next_offset = record.offset + 1
        if number in count.reasons:
            letters[partition, record.offset, count.reasons[number]] += 1
        elif record.value is not None and number not in count.again:
            listed.add(record.value)
    return Part(count, listed, _books(count, next_offset, lost), letters)


def united(parts: Mapping[int, Part], sizes_s: Sequence[int]) -> Truth:
    """What all partitions come to."""
    listed, letters = Listed(sizes_s), Counter[tuple[int, int, str]]()
    for each in parts.values():
        listed.unite(each.listed)
        letters.update(each.dead_letters)
    visitors = listed.visitors
    rows = {
        (size_s, start): row | {"unique_visitors": visitors[size_s, start]}
        for size_s in sizes_s
        for start, row in _rows([each.count for each in parts.values()], size_s).items()
    }
    return Truth(rows, listed.values, {number: each.books for number, each in parts.items()}, letters)


def _count(records: Iterable[Sent]) -> Recount:
    times = [record.timestamp_ms for record in records]
    return recount((record.value for record in records), WINDOW_S, GRACE_S, record_ms=times)


def _books(count: Recount, next_offset: int, lost: int) -> dict[str, Any]:
    return {
        "next_offset": next_offset,
        "lines": count.lines,
        "counted": count.counted,
        "rejected": count.rejected.total(),
        "late_dropped": 0,
        "duplicates": len(count.again),
        "lost_offsets": lost,
        "watermark": count.watermark,
    }


def _rows(counts: Iterable[Recount], size_s: int) -> dict[datetime, dict[str, Any]]:
    by_start: dict[int, list[Window]] = defaultdict(list)
    watermarks = []
    for count in counts:
        watermarks.append(count.watermark or EPOCH)
        for start, window in count.windows.items():
            by_start[start // size_s * size_s].append(window)
    passed = min(watermarks, default=EPOCH) - timedelta(seconds=size_s + GRACE_S)
    return {
        (moment := datetime.fromtimestamp(start, UTC)): _row(windows, size_s) | {"closed": moment <= passed}
        for start, windows in by_start.items()
    }


def _row(windows: list[Window], size_s: int) -> dict[str, Any]:
    status, seconds = Counter[str](), Counter[int]()
    for window in windows:
        status.update(window.status)
        seconds.update(window.per_second)
    requests = sum(window.requests for window in windows)
    return {
        "requests": requests,
        "requests_per_second": requests / size_s,
        "peak_requests_per_second": max(seconds.values()),
        "bytes_sent": sum(window.bytes_sent for window in windows),
        **{name: status[name] for name in (*(f"status_{n}xx" for n in range(1, 6)), "status_other")},
        "late_requests": sum(window.late for window in windows),
        "first_event": min(window.first_event for window in windows if window.first_event),
        "last_event": max(window.last_event for window in windows if window.last_event),
        "bot_requests": 0,
        **dict.fromkeys(f"request_time_{name}" for name in ("mean", "p50", "p90", "p95", "p99", "max")),
    }


def compare(expected: Truth, found: Truth) -> None:
    """Raise `Inexact`, with what differs, unless both are the same."""
    lines = [
        *differences("row", expected.rows, found.rows),
        *differences("listed", expected.listed, found.listed),
        *differences("books of partition", expected.books, found.books),
        *differences("dead letter", expected.dead_letters, found.dead_letters),
    ]
    if lines:
        more = f"\n… and {len(lines) - 20} more" if len(lines) > 20 else ""
        raise Inexact(f"{len(lines)} differences:\n" + "\n".join(lines[:20]) + more)


def differences(what: str, expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> Iterable[str]:
    """A line for each key whose values are not the same."""
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            name = " ".join(map(str, key)) if isinstance(key, tuple) else key
            yield f"{what} {name}: {_explain(expected.get(key), found.get(key))}"


def _explain(expected: Any, found: Any) -> str:
    if isinstance(expected, dict) and isinstance(found, dict):
        names = [name for name in expected if expected[name] != found.get(name)]
        return ", ".join(f"{name} is {found.get(name)}, should be {expected[name]}" for name in names)
    return f"is {found}, should be {expected}"


def dead_letter(value: bytes) -> tuple[int, int, str]:
    """Partition, offset and reason, as a dead letter has them."""
    letter = json.loads(value)
    return letter["partition"], letter["offset"], letter["reason"]
