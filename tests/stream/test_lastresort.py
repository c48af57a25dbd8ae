"""The end by the kernel; that it comes is tested with a worker, in `tests/exactness`."""

import os
import signal

import pytest

from kpi_app.stream import lastresort


@pytest.mark.parametrize(("cores", "limit_s"), [({3}, 100.0), ({0, 5}, 200.0), (set(range(64)), 800.0)])
def test_time_counts_for_the_cores_that_the_process_may_use(
    cores: set[int], limit_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for those of the machine: a worker that is bound to one would go on for as many times longer."""
    timers: list[tuple[int, float]] = []
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores, raising=False)
    monkeypatch.setattr(signal, "setitimer", lambda *timer: timers.append(timer))
    lastresort.put_off(100.0)
    assert timers == [(signal.ITIMER_PROF, limit_s)]
