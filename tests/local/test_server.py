"""What both servers do when starting goes wrong, tried with one that is a shell script."""

import signal
from pathlib import Path

import pytest

from kpi_app.local.errors import LocalError
from kpi_app.local.kept import Order, Stage, base_environment
from kpi_app.local.server import LocalServer
from tests.local.processes import exists


class Scripted(LocalServer):
    """Runs a script; answers once its log says `ready`."""

    name = "Scripted"
    script = "echo ready; exec sleep 1000"

    def _prepare(self) -> None:
        pass

    def _order(self) -> Order:
        stages = (Stage(signal.SIGTERM, 60.0),)
        return Order(["sh", "-c", self.script], self.log, self.directory, stages, base_environment())

    def _answers(self) -> bool:
        return "ready" in self.log.read_text()


def test_a_started_server_answers_and_a_stopped_one_is_gone(tmp_path: Path) -> None:
    """`with` starts and stops it."""
    with Scripted(tmp_path) as server:
        assert server.running
        assert exists(server.pid)
    assert not server.running
    assert not exists(server.pid)


def test_starting_a_running_server_does_nothing(tmp_path: Path) -> None:
    """It stays the same process."""
    with Scripted(tmp_path) as server:
        first = server.pid
        server.start()
        assert server.pid == first


def test_a_killed_server_starts_again_on_its_port(tmp_path: Path) -> None:
    """Clients find it where it was."""
    with Scripted(tmp_path) as server:
        port, first = server.port, server.pid
        server.kill()
        assert not server.running
        server.start()
        assert server.port == port
        assert server.pid != first


def test_a_server_that_dies_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """The error says what happened and what the server said about it."""
    server = Scripted(tmp_path)
    server.script = "echo disk full; exit 3"
    with pytest.raises(LocalError, match=r"(?s)ended with exit code 3 before it answered.*scripted\.log.*disk full"):
        server.start()


def test_a_server_that_never_answers_is_ended(tmp_path: Path) -> None:
    """After the limit there is an error and no process."""
    server = Scripted(tmp_path)
    server.script = "echo thinking; exec sleep 1000"
    with pytest.raises(LocalError, match=r"did not answer within 0\.2 s"):
        server.start(limit_s=0.2)
    assert not exists(server.pid)


def test_a_server_that_ended_by_itself_is_noticed(tmp_path: Path) -> None:
    """`check` raises, and a new start is possible."""
    server = Scripted(tmp_path)
    server.script = "echo ready; exit 4"
    server.launch()
    assert server.exited_within(60)
    with pytest.raises(LocalError, match="ended with exit code 4"):
        server.check()
    server.script = Scripted.script
    with server:
        server.check()


def test_a_directory_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    """The error names the place, the reason and the next move."""
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(LocalError, match=r"can't use .*file.*: Not a directory; .*KPI_DATA_DIR") as error:
        Scripted(tmp_path / "file" / "data").start()
    assert "\n" not in str(error.value)


def test_a_server_that_was_not_started_has_no_pid_yet(tmp_path: Path) -> None:
    """Asking for it says what to do first."""
    with pytest.raises(LocalError, match="start it first"):
        _ = Scripted(tmp_path).pid
