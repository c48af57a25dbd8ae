"""Lags: how far the books are behind the ends, and what no books get to."""

from kpi_app.web.lags import with_lag


def test_a_lag_is_what_is_not_in_the_books() -> None:
    """By partition; None where Kafka did not say."""
    books = [{"partition": number, "next_offset": 7, "idle": False} for number in range(3)]
    assert [row["lag"] for row in with_lag(books, {0: 10, 1: 7})] == [3, 0, None]


def test_an_idle_partition_has_no_lag() -> None:
    """Its end may be behind the marker of a transaction, which is no line: it would be one behind for ever."""
    assert [row["lag"] for row in with_lag([{"partition": 0, "next_offset": 7, "idle": True}], {0: 8})] == [0]
