"""A server ends with the process that started it, whatever becomes of either."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kpi_app.local.errors import LocalError
from kpi_app.local.kept import KEEPER, Kept, Order, Stage, _as_json, base_environment
from tests.local.processes import await_gone, exists

TERM = (Stage(signal.SIGTERM, 60.0),)
# A parent as a program of its own: starts a server, says its pid, waits to be killed.
PARENT = """
import sys, time
from pathlib import Path
from tests.local.test_keeper import order
from kpi_app.local.kept import Kept
kept = Kept(order(Path(sys.argv[1]), sys.argv[2]))
print(kept.pid, flush=True)
time.sleep(1000)
"""
ENDS_IN_ORDER = 'trap "echo in order; exit 0" TERM; echo up; while :; do sleep 0.05; done'
STUBBORN = 'trap "echo no" TERM; echo up; while :; do sleep 0.05; done'


def order(directory: Path, script: str, stages: tuple[Stage, ...] = TERM) -> Order:
    """An order for a server that is a shell script."""
    return Order(["sh", "-c", script], directory / "log", directory, stages, base_environment())


def await_log(directory: Path, text: str) -> str:
    """Returns the log once it holds the text."""
    while text not in (log := (directory / "log").read_text()):
        time.sleep(0.01)  # files tell nobody that they grew
    return log


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs a server which ends in order; its pid is the first line of output."""
    command = [sys.executable, "-c", PARENT, str(tmp_path), ENDS_IN_ORDER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def server_of(parent: subprocess.Popen[str]) -> int:
    assert parent.stdout is not None
    return int(parent.stdout.readline())


def test_stopping_ends_the_server_in_order(tmp_path: Path) -> None:
    """`stop` sends the signal of the first stage and returns when the server is gone."""
    kept = Kept(order(tmp_path, ENDS_IN_ORDER))
    await_log(tmp_path, "up")
    kept.stop()
    assert not exists(kept.pid)
    assert kept.exit_code == 0
    assert "in order" in kept.log.read_text()


def test_stopping_twice_does_nothing_more(tmp_path: Path) -> None:
    """`stop` and `kill` on a server that is gone return at once."""
    kept = Kept(order(tmp_path, "exit 3"))
    assert kept.exited_within(60)
    kept.stop()
    kept.stop()
    kept.kill()
    assert kept.exit_code == 3


def test_a_server_that_ignores_the_order_is_killed(tmp_path: Path) -> None:
    """After the last stage's patience comes SIGKILL."""
    kept = Kept(order(tmp_path, STUBBORN, stages=(Stage(signal.SIGTERM, 0.3),)))
    await_log(tmp_path, "up")
    kept.stop()
    assert not exists(kept.pid)
    assert kept.exit_code == 128 + signal.SIGKILL


def test_kill_is_sigkill(tmp_path: Path) -> None:
    """`kill` gives the server no time to end in order."""
    kept = Kept(order(tmp_path, ENDS_IN_ORDER))
    await_log(tmp_path, "up")
    kept.kill()
    assert kept.exit_code == 128 + signal.SIGKILL
    assert "in order" not in kept.log.read_text()


def test_a_killed_parent_takes_its_server_along(parent: subprocess.Popen[str], tmp_path: Path) -> None:
    """`kill -9` of the parent ends the server, and in order."""
    server = server_of(parent)
    await_log(tmp_path, "up")
    parent.kill()
    await_gone(server)
    assert "in order" in (tmp_path / "log").read_text()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs PR_SET_PDEATHSIG")
def test_a_killed_keeper_takes_its_server_along(tmp_path: Path) -> None:
    """The server doesn't outlive the process that watches over it."""
    kept = Kept(order(tmp_path, ENDS_IN_ORDER))
    status = Path(f"/proc/{kept.pid}/stat").read_text()
    keeper = int(status.rpartition(")")[2].split()[1])
    os.kill(keeper, signal.SIGKILL)
    await_gone(kept.pid)
    kept.stop()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs PR_SET_CHILD_SUBREAPER")
def test_what_a_server_started_ends_with_it(tmp_path: Path) -> None:
    """A killed server's own processes are gone, too, when `kill` returns."""
    kept = Kept(order(tmp_path, "sleep 1000 & echo child $!; wait"))
    child = int(await_log(tmp_path, "\n").split()[1])
    kept.kill()
    assert not exists(child)


def test_a_parent_that_is_gone_before_it_knew_the_pid_takes_its_server_along(tmp_path: Path) -> None:
    """A signal may end it while it waits for the answer."""
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-I", "-S", str(KEEPER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        ) as keeper,
    ):
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        keeper.stdout.close()
        keeper.stdin.write(_as_json(order(tmp_path, "exec sleep 1000")))
        keeper.stdin.close()
        assert keeper.wait(60) == 128 + signal.SIGTERM
    assert (tmp_path / "log").read_text() == ""


def test_the_terminals_ctrl_c_does_not_reach_the_server(tmp_path: Path) -> None:
    """It runs in a session of its own: who started it decides in which order things end."""
    kept = Kept(order(tmp_path, ENDS_IN_ORDER))
    assert os.getsid(kept.pid) != os.getsid(0)
    kept.stop()


def test_the_server_sees_none_of_our_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a few variables are passed on, and no order stands on a command line."""
    monkeypatch.setenv("KPI_DATABASE_URL", "postgresql://me:secret@somewhere/db")
    kept = Kept(order(tmp_path, "env; echo done"))
    assert kept.exited_within(60)
    kept.stop()
    assert "secret" not in kept.log.read_text()


def test_a_program_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    """The error names the program."""
    missing = Order(["/nowhere/to/be/found"], tmp_path / "log", tmp_path, TERM, {})
    with pytest.raises(LocalError, match="/nowhere/to/be/found"):
        Kept(missing)


def test_a_restart_keeps_the_last_runs_log(tmp_path: Path) -> None:
    """What a crashed server said last is still there after it was started again."""
    for word in ("first", "second"):
        kept = Kept(order(tmp_path, f"echo {word}"))
        assert kept.exited_within(60)
        kept.stop()
    assert (tmp_path / "log").read_text() == "second\n"
    assert (tmp_path / "log.1").read_text() == "first\n"
