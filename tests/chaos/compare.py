"""Every row, book, list and dead letter against the recount of what the topic holds."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from tests.exactness.lines import WINDOW_S
from tests.exactness.listed import DIMENSIONS
from tests.exactness.truth import Truth, differences

#: What docs/kpis.md promises of lists: exact up to so many values with so much text, and beyond it at most a
#: thousandth of the window's lines missing from a value.
CANDIDATES, ROOM = 1_000, 32 * 1024
OTHER = "(other)"
#: Below so many visitors their number is exact, beyond it is within 3 %.
EXACT_VISITORS, VISITORS_ERROR = 100, 0.03

#: Window size and start, dimension.
ListKey = tuple[int, datetime, str]


class Listing(NamedTuple):
    """A value of a list, as published."""

    requests: int
    requests_error: int
    bytes_sent: int
    errors: int


@dataclass
class Verdict:
    """What came of the comparison."""

    differences: list[str] = field(default_factory=list)
    lost: int = 0
    twice: int = 0
    rows: int = 0
    listed: int = 0


def compare(expected: Truth, found: Truth, lists: Mapping[ListKey, Mapping[str, Listing]], top: int) -> Verdict:
    """`found.listed` is not looked at: `lists` has it with the errors that it admits."""
    rows = _allowing(expected.rows, found.rows)
    verdict = Verdict(rows=len(rows), listed=sum(map(len, lists.values())))
    verdict.differences += [
        *differences("row", rows, found.rows),
        *differences("books of partition", expected.books, found.books),
        *differences("dead letter", expected.dead_letters, found.dead_letters),
        *compare_lists(expected, lists, top),
    ]
    for wanted, there in _counts(expected, found):
        for key in wanted.keys() | there.keys():
            verdict.lost += max(0, wanted[key] - there[key])
            verdict.twice += max(0, there[key] - wanted[key])
    return verdict


def _counts(expected: Truth, found: Truth) -> Iterator[tuple[Counter[Any], Counter[Any]]]:
    """Lines by the smallest window, and dead letters."""

    def base(rows: Mapping[tuple[int, datetime], Mapping[str, Any]]) -> Counter[Any]:
        return Counter({start: row["requests"] for (size_s, start), row in rows.items() if size_s == WINDOW_S})

    yield base(expected.rows), base(found.rows)
    yield expected.dead_letters, found.dead_letters


def _allowing(expected: Mapping[Any, dict[str, Any]], found: Mapping[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """What is expected, with the visitors that were found where these are near enough."""
    allowing = {}
    for key, row in expected.items():
        there = found.get(key, {}).get("unique_visitors")
        visitors = row["unique_visitors"]
        near = visitors >= EXACT_VISITORS and there is not None and abs(there - visitors) <= VISITORS_ERROR * visitors
        allowing[key] = row | {"unique_visitors": there} if near else row
    return allowing


def listings(rows: Iterable[Mapping[str, Any]]) -> dict[ListKey, dict[str, Listing]]:
    """Rows of `access_kpi_by` by list; the dimensions that the recount does not know are left out."""
    lists: dict[ListKey, dict[str, Listing]] = defaultdict(dict)
    for row in rows:
        if row["dimension"] in DIMENSIONS:
            key = row["window_seconds"], row["window_start"], row["dimension"]
            lists[key][row["value"]] = Listing(*(row[name] for name in Listing._fields))
    return dict(lists)


def compare_lists(expected: Truth, lists: Mapping[ListKey, Mapping[str, Listing]], top: int) -> Iterator[str]:
    """A line for each list that is not as promised."""
    wanted: dict[ListKey, dict[str, Sequence[int]]] = defaultdict(dict)
    for (size_s, start, dimension, value), counts in expected.listed.items():
        if value != OTHER:
            wanted[size_s, start, dimension][value] = counts
    for key in sorted(wanted.keys() | lists.keys()):
        for fault in _faults(wanted.get(key, {}), lists.get(key, {}), top):
            yield f"list {' '.join(map(str, key))}: {fault}"


def _faults(wanted: Mapping[str, Sequence[int]], found: Mapping[str, Listing], top: int) -> Iterator[str]:
    if not wanted or not found:
        yield f"{len(found)} values are listed, there are {len(wanted)}"
        return
    total = [sum(counts[place] for counts in wanted.values()) for place in range(3)]
    sums = [sum(_told(listing)[place] for listing in found.values()) for place in range(3)]
    if sums != total:
        yield f"requests, bytes, errors add up to {sums}, should be {total}"
    exact = len(wanted) <= CANDIDATES and sum(len(value.encode()) for value in wanted) <= ROOM
    yield from (_exact if exact else _bounded)(wanted, found, top)


def _exact(wanted: Mapping[str, Sequence[int]], found: Mapping[str, Listing], top: int) -> Iterator[str]:
    heaviest = sorted(wanted, key=lambda value: (-wanted[value][0], value))[:top]
    others = [wanted[value] for value in wanted.keys() - set(heaviest)]
    due = {value: tuple(wanted[value]) for value in heaviest}
    due[OTHER] = tuple(sum(counts[place] for counts in others) for place in range(3))
    for value in sorted(due.keys() | found.keys()):
        there = found.get(value)
        if there is None or value not in due or _told(there) != due[value] or there.requests_error:
            yield f"{value} is {there and tuple(there)}, should be {due.get(value)} exactly"


def _bounded(wanted: Mapping[str, Sequence[int]], found: Mapping[str, Listing], top: int) -> Iterator[str]:
    most = sum(counts[0] for counts in wanted.values()) / CANDIDATES
    named = {value: listing for value, listing in found.items() if value != OTHER}
    if len(named) != top or OTHER not in found:
        yield f"{len(named)} values and {len(found) - len(named)} rows of the others, should be {top} and one"
    for value, there in named.items():
        true = wanted.get(value, (0, 0, 0))
        least = min(true[0], true[0] - there.requests_error)
        within = least <= there.requests <= true[0] and 0 <= there.requests_error <= most
        never_more = all(told <= real for told, real in zip(_told(there), true, strict=True))
        if not within or not never_more or (there.requests_error == 0 and _told(there) != tuple(true)):
            yield f"{value} is {tuple(there)}, should be {tuple(true)} within its error, at most {most:.0f}"
    lightest = min((listing.requests for listing in named.values()), default=0)
    for value in wanted.keys() - named.keys():
        if wanted[value][0] > lightest + most:
            yield f"{value} is not listed, with {wanted[value][0]} requests; the lightest that is has {lightest}"


def _told(listing: Listing) -> tuple[int, int, int]:
    return listing.requests, listing.bytes_sent, listing.errors
