"""Calm: what of aiokafka's log is let through."""

import logging

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError

from kpi_app.stream.bend import calm
from kpi_app.stream.bend.calm import AGAIN_AFTER_S, Calm


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now_s = [1_000.0]
    monkeypatch.setattr(calm, "monotonic", lambda: now_s[0])
    return now_s


def record(name: str, node: int) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, "no connection to %s", (node,), None)


def test_a_line_of_aiokafka_is_let_through_now_and_then(clock: list[float]) -> None:
    """Once in `AGAIN_AFTER_S`; another line in between does not change that."""
    it = Calm()
    assert it.filter(record("aiokafka.client", 1))
    assert it.filter(record("aiokafka.client", 2))
    assert not it.filter(record("aiokafka.client", 1))
    clock[0] += AGAIN_AFTER_S
    assert it.filter(record("aiokafka.client", 1))
    assert not it.filter(record("aiokafka.client", 1))


def test_lines_of_others_are_all_let_through(clock: list[float]) -> None:
    """However often they come."""
    it = Calm()
    assert all(it.filter(record(name, 1)) for name in ("kpi_app", "kpi_app", "faust", "faust"))


def test_a_coordinator_that_is_missing_at_first_is_no_error(clock: list[float]) -> None:
    """Nor later on for a moment; one that stays away is told."""
    it = Calm()
    clock[0] = 1.0  # the machine has just come up
    error = GroupCoordinatorNotAvailableError()
    said = logging.LogRecord("aiokafka.consumer", logging.ERROR, "", 0, "request failed: %s", (error,), None)
    for _ in range(2):
        assert not it.filter(said)
        clock[0] += AGAIN_AFTER_S / 2
        assert not it.filter(said)
        clock[0] += AGAIN_AFTER_S / 2
        assert it.filter(said)
        assert not it.filter(said)
        clock[0] += 2 * AGAIN_AFTER_S


def test_lines_are_forgotten(clock: list[float]) -> None:
    """Ever new lines don't fill the memory."""
    it = Calm()
    for node in range(100):
        it.filter(record("aiokafka", node))
        clock[0] += AGAIN_AFTER_S
    assert len(it._said_s) == 1
