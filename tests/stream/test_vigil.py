"""What counts as waiting in vain, and for how long; looks come every second here."""

from collections.abc import Iterable

from kpi_app.stream.vigil import Sign, Stall, Vigil

LIMIT_S = 10.0


def share(looks: Iterable[tuple[float, dict[str, Sign]]]) -> float:
    """How much of the time is over at the last look."""
    return watched(looks).share


def watched(looks: Iterable[tuple[float, dict[str, Sign]]]) -> Stall:
    vigil, stall = Vigil(LIMIT_S, 1.0), None
    for at_s, signs in looks:
        stall = vigil.look(signs, at_s)
    assert stall is not None
    return stall


def test_what_does_not_change_stalls() -> None:
    """From the first look that showed it."""
    assert share((100.0 + n, {"lines": Sign("no lines", 7)}) for n in range(11)) == 1.0


def test_what_changes_does_not() -> None:
    """However slowly, within the limit."""
    assert share((float(n), {"lines": Sign("no lines", n // 9)}) for n in range(100)) < 1


def test_what_was_not_waited_for_meanwhile_begins_anew() -> None:
    """An idle partition gets a line with the value that it had before."""
    some, none = {"lines": Sign("no lines", 7)}, dict[str, Sign]()
    assert share((float(n), none if n == 8 else some) for n in range(12)) == 0.2


def test_what_is_not_known_for_a_moment_does_not_begin_anew() -> None:
    """Time of which it is not known does not count; what went before is kept."""
    looks = [(float(n), {"lines": Sign("no lines", 7, known=n % 5 != 0)}) for n in range(11)]
    assert share(looks) == 0.8
    assert share([*looks, (11.0, {"lines": Sign("no lines", 8, known=False)})]) == 0


def test_what_is_never_known_does_not_stall() -> None:
    """A partition that has no leader, for ever."""
    assert share((float(n), {"lines": Sign("no lines", 7, known=False)}) for n in range(100)) == 0


def test_time_that_was_not_lived_through_does_not_count() -> None:
    """A process that was stopped for an hour between two looks, which count for two."""
    stopped = [(n + (3_600 if n > 4 else 0), {"kafka": Sign("no answer", 0)}) for n in range(9)]
    assert share(stopped) == 0.9


def test_some_may_take_longer() -> None:
    """By seconds, or by a factor."""
    ten_seconds = [float(n) for n in range(11)]
    assert share((now_s, {"group": Sign("no group", 0, more_s=10)}) for now_s in ten_seconds) == 0.5
    assert share((now_s, {"lines 3": Sign("no turn", 0, times=5)}) for now_s in ten_seconds) == 0.2


def test_the_worst_is_told_and_of_two_alike_the_cause() -> None:
    """Causes are shown first."""
    signs = {"kafka": Sign("Kafka has not answered", 0), "lines": Sign("lines wait", 0)}
    assert str(watched((float(n), signs) for n in range(11))) == "Kafka has not answered for 10 s"
    late = [(float(n), {"kafka": Sign("Kafka has not answered", n), "lines": Sign("lines wait", 0)}) for n in range(11)]
    assert str(watched(late)) == "lines wait for 10 s"


def test_nothing_to_wait_for_is_no_stall() -> None:
    """An empty vigil."""
    assert Vigil(LIMIT_S, 1.0).look({}, 0.0) is None
