"""The pace: so many lines a second, by an injected clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_app.errors import UserError
from kpi_app.sources.pace import Pace


class Clock:
    """A clock that sleeping moves, and nothing else but `now_s`."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        """Monotonic seconds."""
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


@given(rate=st.floats(0.5, 1e6), takes=st.lists(st.integers(1, 500), min_size=2, max_size=50))
async def test_no_more_lines_than_the_rate_allows(rate: float, takes: list[int]) -> None:
    """Before a portion goes, the time has passed that those before it may take: [-n1/r-)[-n2/r-)..."""
    clock = Clock()
    pace = Pace(rate, clock, clock.sleep)
    for lines in takes:
        await pace.take(lines)
    assert clock.now_s - 1_000 == pytest.approx(sum(takes[:-1]) / rate, rel=1e-6)


async def test_a_pause_is_not_made_up_for() -> None:
    """After ten quiet seconds the rate is what it was before, not ten seconds' lines at once."""
    clock = Clock()
    pace = Pace(10, clock, clock.sleep)
    await pace.take(1)
    clock.now_s += 10
    await pace.take(10)
    await pace.take(1)
    assert clock.now_s == pytest.approx(1_011)


async def test_full_speed_never_waits() -> None:
    """Without a rate nothing waits, and any number of lines goes at once."""
    clock = Clock()
    pace = Pace(None, clock, clock.sleep)
    await pace.take(10**9)
    assert clock.now_s == 1_000
    assert pace.portion is None


@pytest.mark.parametrize(("rate", "portion"), [(0.1, 1), (20, 1), (1_000, 50), (100_000, 5_000)])
def test_portions_are_small(rate: float, portion: int) -> None:
    """A portion is a twentieth of a second, and a line at least."""
    assert Pace(rate).portion == portion


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_impossible_rate_is_the_users_error(rate: float) -> None:
    """A rate of nothing would never end: it says what would be right."""
    with pytest.raises(UserError, match="above zero"):
        Pace(rate)
