"""The comparison finds what is wrong: a run that could not fail would show nothing."""

from collections import Counter
from copy import deepcopy
from typing import Any

import pytest

from tests.chaos.compare import OTHER, Listing, compare
from tests.chaos.producer import Lines
from tests.exactness.lines import WINDOW_S
from tests.exactness.truth import Sent, Truth, truth

TOP = 100
SIZES_S = (WINDOW_S, 60)


class Many(Lines):
    """More paths in each window than a list keeps."""

    def _request(self, pick: Any) -> tuple[str, int, int, str]:
        client, status, size, _ = super()._request(pick)
        return client, status, size, f"page-{min(pick.randrange(20_000), 4_000 + pick.randrange(1_500))}"


@pytest.fixture(scope="module")
def expected() -> Truth:
    """Of two partitions; some lists are exact, those of paths overflow."""
    source = Many(2, seed=4)
    sent: dict[int, list[Sent]] = {0: [], 1: []}
    for record in source.lot(4_000, windows=2):
        of = sent[record.partition]
        of.append(Sent(len(of), record.value, record.timestamp_ms))
    return truth(sent, {}, SIZES_S)


@pytest.fixture
def found(expected: Truth) -> Truth:
    """All as it should be."""
    return deepcopy(expected)


@pytest.fixture
def lists(expected: Truth) -> dict[Any, dict[str, Listing]]:
    """The lists as they should be published."""
    values: dict[Any, dict[str, list[int]]] = {}
    for (size_s, start, dimension, value), counts in expected.listed.items():
        if value != OTHER:
            values.setdefault((size_s, start, dimension), {})[value] = counts
    published = {}
    for key, counts_by in values.items():
        named = sorted(counts_by, key=lambda value: (-counts_by[value][0], value))[:TOP]
        rest = [sum(counts_by[v][place] for v in counts_by.keys() - set(named)) for place in range(3)]
        published[key] = {value: Listing(counts_by[value][0], 0, *counts_by[value][1:]) for value in named}
        published[key][OTHER] = Listing(rest[0], 0, *rest[1:])
    return published


def test_what_is_right_is_found_right(expected: Truth, found: Truth, lists: Any) -> None:
    """No difference, nothing lost, nothing twice; and there are lists of both kinds."""
    verdict = compare(expected, found, lists, TOP)
    assert not verdict.differences
    assert (verdict.lost, verdict.twice) == (0, 0)
    sizes = Counter((key[0], key[2]) for key, listed in lists.items() if listed[OTHER].requests)
    assert sizes[WINDOW_S, "path"]
    assert not sizes[WINDOW_S, "status"]


@pytest.mark.parametrize(("by", "lost", "twice"), [(-1, 1, 0), (2, 0, 2)])
def test_a_line_lost_or_counted_twice_is_counted(
    expected: Truth, found: Truth, lists: Any, by: int, lost: int, twice: int
) -> None:
    """In one row of the smallest windows."""
    key = next(key for key in found.rows if key[0] == WINDOW_S)
    found.rows[key]["requests"] += by
    verdict = compare(expected, found, lists, TOP)
    assert len(verdict.differences) == 1
    assert (verdict.lost, verdict.twice) == (lost, twice)


@pytest.mark.parametrize("column", ["bytes_sent", "late_requests", "peak_requests_per_second", "closed"])
@pytest.mark.parametrize("size_s", SIZES_S)
def test_every_column_of_every_size_is_compared(
    expected: Truth, found: Truth, lists: Any, column: str, size_s: int
) -> None:
    """One that is off by one is told."""
    key = next(key for key in found.rows if key[0] == size_s)
    found.rows[key][column] = not found.rows[key][column] if column == "closed" else found.rows[key][column] + 1
    assert len(compare(expected, found, lists, TOP).differences) == 1


def test_visitors_may_be_off_by_what_is_promised_only(expected: Truth, found: Truth, lists: Any) -> None:
    """Many within 3 %, few not at all."""
    key = max(found.rows, key=lambda key: found.rows[key]["unique_visitors"])
    visitors = found.rows[key]["unique_visitors"]
    assert visitors >= 100
    found.rows[key]["unique_visitors"] = round(visitors * 1.02)
    assert not compare(expected, found, lists, TOP).differences
    found.rows[key]["unique_visitors"] = round(visitors * 1.05)
    assert len(compare(expected, found, lists, TOP).differences) == 1


def test_missing_rows_books_and_letters_are_told(expected: Truth, found: Truth, lists: Any) -> None:
    """Each as a difference of its own."""
    del found.rows[next(key for key in found.rows if key[0] == WINDOW_S)]
    found.books[1]["counted"] -= 1
    found.dead_letters[0, 999_999, "format"] += 1
    verdict = compare(expected, found, lists, TOP)
    assert len(verdict.differences) == 3
    assert verdict.twice == 1


def _list(lists: Any, dimension: str) -> dict[str, Listing]:
    return next(listed for key, listed in lists.items() if key[0] == WINDOW_S and key[2] == dimension)


@pytest.mark.parametrize("dimension", ["status", "path"])
def test_a_list_that_does_not_add_up_is_told(expected: Truth, found: Truth, lists: Any, dimension: str) -> None:
    """The others are part of it."""
    listed = _list(lists, dimension)
    listed[OTHER] = listed[OTHER]._replace(bytes_sent=listed[OTHER].bytes_sent + 1)
    assert any("add up" in line for line in compare(expected, found, lists, TOP).differences)


def test_a_list_that_could_be_exact_has_no_error(expected: Truth, found: Truth, lists: Any) -> None:
    """Also where it admits one."""
    listed = _list(lists, "status")
    listed["200"] = listed["200"]._replace(requests=listed["200"].requests - 1, requests_error=1)
    listed[OTHER] = listed[OTHER]._replace(requests=listed[OTHER].requests + 1)
    assert any("200 is" in line for line in compare(expected, found, lists, TOP).differences)


@pytest.mark.parametrize(("by", "error", "right"), [(-1, 1, True), (-1, 0, False), (1, 1, False), (-90, 90, False)])
def test_a_bounded_list_may_lack_what_it_admits(
    expected: Truth, found: Truth, lists: Any, by: int, error: int, right: bool
) -> None:
    """Never too high, too low by at most its error, and that by at most a thousandth of the lines."""
    listed = _list(lists, "path")
    heaviest = max((value for value in listed if value != OTHER), key=lambda value: listed[value].requests)
    counts = listed[heaviest]
    listed[heaviest] = counts._replace(requests=counts.requests + by, requests_error=error)
    listed[OTHER] = listed[OTHER]._replace(requests=listed[OTHER].requests - by)
    assert (not compare(expected, found, lists, TOP).differences) is right


def test_a_heavy_value_that_is_not_listed_is_told(expected: Truth, found: Truth, lists: Any) -> None:
    """As many are listed as should be, but not the right ones."""
    listed = _list(lists, "path")
    heaviest = max((value for value in listed if value != OTHER), key=lambda value: listed[value].requests)
    gone = listed.pop(heaviest)
    listed["/nobody-asked"] = Listing(0, 0, 0, 0)
    listed[OTHER] = Listing(*(a + b for a, b in zip(listed[OTHER], gone, strict=True)))
    told = compare(expected, found, lists, TOP).differences
    assert any(f"{heaviest} is not listed" in line for line in told)
