"""Reached: when a demo takes a partition for read."""

import pytest

from kpi_app.demo.reached import is_read


@pytest.mark.parametrize(
    ("next_offset", "idle", "asked_s_ago", "read"),
    [
        (8, False, 0, True),
        (7, False, 60, False),
        (7, True, 60, True),
        # said before the lines came: the lease is not over
        (0, True, 0, False),
        (0, True, 15, False),
    ],
)
def test_a_partition_is_read_at_its_end_or_idle_since_we_asked(
    next_offset: int, idle: bool, asked_s_ago: float, read: bool
) -> None:
    """Of an end behind a marker, which no books get to, idleness tells; as long as it may be of before, it does not."""
    assert is_read({"next_offset": next_offset, "idle": idle}, 8, asked_s_ago) is read


def test_a_partition_that_nobody_opened_is_read_where_it_is_empty() -> None:
    """Else its books are to come."""
    assert is_read(None, 0, 0)
    assert not is_read(None, 1, 60)
