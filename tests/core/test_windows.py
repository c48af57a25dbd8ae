"""Windows and durations."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.core.windows import MAX_DURATION_S, format_duration, parse_duration, utc, utc_us, window_start


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("90s", 90),
        ("1m", 60),
        ("2h", 7_200),
        ("7d", 604_800),
        ("1w", 604_800),
        (" 5 M ", 300),
        ("36500d", MAX_DURATION_S),
    ],
)
def test_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    """Seconds, minutes, hours, days."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "m", "-1s", "1.5h", "1y", "1h30m", "٣s", "36501d", "999999999d", "9" * 400 + "s"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    """Neither is more than a hundred years, which added to a time could leave the int64."""
    with pytest.raises(ValueError, match=r"is not a duration|is longer than"):
        parse_duration(text)


@given(st.integers(0, MAX_DURATION_S))
def test_formatted_duration_reads_back(seconds: int) -> None:
    """What is shown to the user is what the user may write."""
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 2**40), st.integers(1, 86_400))
def test_window_holds_its_event(event_s: int, size_s: int) -> None:
    """[start, start + size), aligned to the epoch."""
    start = window_start(event_s, size_s)
    assert start <= event_s < start + size_s
    assert start % size_s == 0


def test_line_at_the_end_opens_the_next_window() -> None:
    """A window holds its first second and not its last."""
    # [0----60)[60----120)
    assert [window_start(second, 60) for second in (0, 59, 60, 119)] == [0, 0, 60, 60]


def test_times_are_aware_and_exact() -> None:
    """To the microsecond, up to the last one that a datetime holds."""
    assert utc(60) == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert utc_us(253_402_300_799_999_999) == datetime.max.replace(tzinfo=UTC)
