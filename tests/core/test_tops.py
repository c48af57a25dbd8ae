"""Top lists: exact while they are short, never too high, and never off by more than they say."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.core import tops as tops_of
from kpi_app.core.aggregates import Value
from kpi_app.core.groups import INT64_MAX, Groups
from kpi_app.core.tops import OTHER, Lists, Tops

TOPS = Tops({"path": "by_path", "status": "by_status"}, {"bytes_sent": pl.col("bytes")})

#: Path, status and bytes of a line.
Line = tuple[str | None, str | None, int]

LINES = st.lists(
    st.tuples(
        st.none() | st.sampled_from([f"/{n}" for n in range(12)]),
        st.none() | st.sampled_from(["200", "404"]),
        st.integers(0, 1_000),
    ),
    max_size=60,
)


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists that overflow at once."""
    monkeypatch.setattr(tops_of, "CANDIDATES", 4)


def stored_and_read(lists: Value) -> Value:
    """What `load` is given: JSON, as segments hold it."""
    return orjson.loads(orjson.dumps(TOPS.dump(lists), option=orjson.OPT_SERIALIZE_NUMPY))


def lists_of(lines: Sequence[Line]) -> Lists:
    """What a batch of lines of one window comes to."""
    frame = pl.DataFrame(
        {
            "by_path": [path for path, _, _ in lines],
            "by_status": [status for _, status, _ in lines],
            "bytes": [size for _, _, size in lines],
        },
        schema={
            "by_path": pl.String,
            "by_status": pl.String,
            "bytes": pl.Int64,
        },
    )
    parts = dict(TOPS.split(frame, Groups.by(np.zeros(len(lines), dtype=np.int64))))
    assert parts.keys() <= {0}
    return parts.get(0, TOPS.zero())


PARTS = st.lists(
    st.tuples(st.integers(0, 4), st.none() | st.sampled_from(["/a", "/b", "/c"]), st.none() | st.integers(0, 9)),
    max_size=60,
)


@given(PARTS)
def test_each_part_has_its_own_lists(lines: list[tuple[int, str | None, int | None]]) -> None:
    """A line without a value is in no list, nor is one of a dimension that nobody gave; no size counts as 0."""
    requests, sizes = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    for part, path, size in lines:
        if path is not None:
            requests[part, path] += 1
            sizes[part, path] += size or 0
    parts = Groups.by(np.array([part for part, _, _ in lines], dtype=np.int64))
    columns = {"by_path": [path for _, path, _ in lines], "by_status": None, "bytes": [size for _, _, size in lines]}
    frame = pl.DataFrame(columns, schema={"by_path": pl.String, "by_status": pl.String, "bytes": pl.Int64})
    found = {}
    for number, lists in TOPS.split(frame, parts):
        for row in read(united([lists]), [("", None, 0)] * len(lines)):
            assert row["dimension"] == "path"
            if row["value"] != OTHER:
                found[int(parts.found[number]), row["value"]] = row["requests"], row["bytes_sent"]
    assert found == {each: (count, sizes[each]) for each, count in requests.items()}


def united(batches: Iterable[Lists]) -> Lists:
    total = TOPS.zero()
    for batch in batches:
        total = TOPS.merge(total, batch)
    return total


def read(lists: Lists, lines: Sequence[Line], top: int = 100) -> list[dict[str, Any]]:
    """The rows of a window that holds these lines."""
    totals = pl.DataFrame({"requests": [len(lines)], "bytes_sent": [sum(size for _, _, size in lines)]})
    return TOPS.listed([lists], totals, top).drop("list").to_dicts()


def counted(lines: Sequence[Line]) -> dict[str, Counter[str]]:
    by: dict[str, Counter[str]] = defaultdict(Counter)
    for path, status, _ in lines:
        for dimension, value in (("path", path), ("status", status)):
            if value is not None:
                by[dimension][value] += 1
    return by


@given(st.lists(LINES, max_size=5))
def test_a_short_list_is_exact_however_the_lines_are_cut(batches: list[list[Line]]) -> None:
    """Below the bounds every count is right and no error is named."""
    lines = [line for batch in batches for line in batch]
    rows = read(united(map(lists_of, batches)), lines)
    listed = {(row["dimension"], row["value"]): row["requests"] for row in rows if row["value"] != OTHER}
    assert listed == {(d, v): n for d, values in counted(lines).items() for v, n in values.items()}
    assert not any(row["requests_error"] for row in rows)


@pytest.mark.usefixtures("_short")
@given(st.lists(LINES, max_size=6), st.integers(1, 6), st.booleans())
def test_no_count_is_too_high_or_lacks_more_than_it_says(batches: list[list[Line]], top: int, stored: bool) -> None:
    """A full list knows the most that each of its counts may lack, and that any value outside of it may have had."""
    lines = [line for batch in batches for line in batch]
    total = TOPS.zero()
    for batch in batches:
        total = TOPS.merge(total, lists_of(batch))
        TOPS.settle([total])
        if stored:
            total = TOPS.load(stored_and_read(total))
    truth, rows = counted(lines), read(total, lines, top)
    sums = Counter({(d, v): 0 for d in truth for v in truth[d]})
    for path, status, size in lines:
        sums.update({("path", path): size, ("status", status): size})
    for dimension, values in truth.items():
        here = [row for row in rows if row["dimension"] == dimension]
        assert [row["value"] for row in here][-1] == OTHER
        assert len(here) <= top + 1
        assert sum(row["requests"] for row in here) == len(lines)
        assert sum(row["bytes_sent"] for row in here) == sum(size for _, _, size in lines)
        for row in here[:-1]:
            assert row["requests"] <= values[row["value"]] <= row["requests"] + row["requests_error"]
            assert row["requests_error"] <= len(lines) / 4
            assert row["bytes_sent"] <= sums[dimension, row["value"]]
        heavy = {value for value, count in values.items() if count > len(lines) / 4}
        assert heavy <= {row["value"] for row in read(total, lines) if row["dimension"] == dimension}


@pytest.mark.usefixtures("_short")
@given(st.lists(LINES, max_size=4), st.lists(LINES, max_size=4))
def test_lists_of_windows_unite_within_the_same_bounds(left: list[list[Line]], right: list[list[Line]]) -> None:
    """What was cut short twice still knows how short."""
    sides = []
    for batches in (left, right):
        lists = united(map(lists_of, batches))
        TOPS.settle([lists])
        sides.append(lists)
    lines = [line for batch in left + right for line in batch]
    for row in read(united(map(TOPS.span, sides)), lines):
        if row["value"] != OTHER:
            true = counted(lines)[row["dimension"]][row["value"]]
            assert row["requests"] <= true <= row["requests"] + row["requests_error"]
            assert row["requests_error"] <= len(lines) / 4


def test_settling_many_at_once_is_settling_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of different segments don't mix."""
    monkeypatch.setattr(tops_of, "CANDIDATES", 2)
    batches = [[(f"/{n % k}", "200", n) for n in range(20)] for k in (1, 2, 5, 9)]
    together = [united([lists_of(batch), lists_of(batch[:7])]) for batch in batches]
    TOPS.settle([TOPS.zero(), *together])
    for lists, batch in zip(together, batches, strict=True):
        alone = united([lists_of(batch), lists_of(batch[:7])])
        assert stored_and_read(lists) == stored_and_read(alone)


def test_values_have_a_room_in_bytes() -> None:
    """A few long values fill a list as many short ones do."""
    lines: list[Line] = [(f"/{'é' * 200}{n}", "200", 1) for n in range(300) for _ in range(1 + (n < 10))]
    lists = lists_of(lines)
    TOPS.settle([lists])
    rows = [row for row in read(lists, lines, top=1_000) if row["dimension"] == "path"]
    assert sum(len(row["value"].encode()) for row in rows[:-1]) <= tops_of.ROOM
    assert {row["value"] for row in rows} >= {path for path, _, _ in lines[:20]}
    assert rows[-1]["requests"] == 310 - sum(row["requests"] for row in rows[:-1]) > 0


def test_a_dimension_that_no_line_has_is_in_no_list() -> None:
    """A format that can't fill a dimension gives it no rows."""
    assert [row["dimension"] for row in read(lists_of([(None, "200", 1)]), [(None, "200", 1)])] == ["status", "status"]


def test_what_is_put_off_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merging again and again between two checkpoints does not grow without end."""
    monkeypatch.setattr(tops_of, "_PUT_OFF", 10)
    total = united(lists_of([(f"/{n}", "200", 1)]) for n in range(30))
    assert total.rows <= 30 + 1 + 10
    assert len(total.pieces) <= 6


def test_sums_stop_at_the_largest_there_is() -> None:
    """Hostile sizes don't wrap around."""
    batches: list[list[Line]] = [[("/", "200", INT64_MAX - 5)], [("/", "200", 10)]]
    rows = read(united(map(lists_of, batches)), [("/", "200", INT64_MAX), ("/", "200", 0)])
    assert {row["bytes_sent"] for row in rows} == {INT64_MAX, 0}


def test_a_dimension_that_is_no_more_is_left_out() -> None:
    """A later version that knows fewer dimensions reads what an earlier one wrote."""
    dumped = stored_and_read(lists_of([("/", "200", 1)]))
    fewer = Tops({"status": "by_status"}, {"bytes_sent": pl.col("bytes")})
    totals = pl.DataFrame({"requests": [1], "bytes_sent": [1]})
    assert set(fewer.listed([fewer.load(dumped)], totals, 10)["dimension"]) == {"status"}
