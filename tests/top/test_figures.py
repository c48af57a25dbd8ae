"""Figures and bars: few characters, and none that says what is not so."""

from hypothesis import given
from hypothesis import strategies as st

from kpi_app.top import figures

points = st.lists(st.none() | st.floats(0, 1e12), max_size=300)


def test_figures_are_short() -> None:
    """As the live page writes them."""
    assert [figures.rate(it) for it in (0.0421, 12.34, 4_567.8)] == ["0.04/s", "12.3/s", "4,568/s"]
    assert [figures.share(*it) for it in ((1, 400), (1, 8), (0, 0))] == ["0.25 %", "12.5 %", "0.0 %"]
    assert [figures.size(it) for it in (999, 12_340, 1.2e15)] == ["999 B", "12.3 kB", "1.2 PB"]
    assert [figures.took(it) for it in (0.0012, 0.25, 1.2, 61)] == ["1.2 ms", "250 ms", "1.20 s", "61.0 s"]
    assert [figures.age(it) for it in (-1, 45, 300, 7_200, 900_000)] == ["0 s", "45 s", "5 min", "2 h", "10 d"]


@given(points, st.integers(0, 200))
def test_a_series_fits_any_width(series: list[float | None], width: int) -> None:
    """With every one of its points in it, in order; it fills more than half of the width."""
    fitted = figures.fit(series, width)
    assert len(fitted) <= width
    if series and width:
        assert len(fitted) > width / 2 - 1
        known = [point for point in series if point is not None]
        assert bool(known) == any(point is not None for point in fitted)
        assert max((point for point in fitted if point is not None), default=0) <= max(known, default=0) * 1.000001


def test_points_that_share_a_column_are_their_mean() -> None:
    """Of those that are known: a gap does not pull them down."""
    assert figures.fit([1, 3, None, 5, None, None], 3) == [2, 5, None]
    assert figures.fit([1, None], 5) == [1, 1, None, None]


@given(points, st.integers(1, 9))
def test_bars_stand_on_the_ground_and_end_at_the_top(series: list[float | None], height: int) -> None:
    """The greatest reaches the upper line; nothing but 0 and a gap is invisible; no bar has a hole."""
    lines = figures.bars(series, height)
    assert [len(line) for line in lines] == [len(series)] * height
    for number, point in enumerate(series):
        column = "".join(line[number] for line in reversed(lines)).rstrip()
        assert bool(column) == bool(point)
        assert set(column[:-1]) <= {"█"}
        if point and point == max(filter(None, series)):
            assert column == "█" * height
