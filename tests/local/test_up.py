"""`kpi up`: both servers at once; however it ends, nothing is left."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from dotenv import dotenv_values

from kpi_app.local.errors import LocalError
from kpi_app.local.lock import locked
from kpi_app.local.up import local_services, write_env_file
from tests.local.processes import await_gone

PROGRAM = """
import json, signal, sys
from pathlib import Path
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may have it ignored, by nohup
from kpi_app.local.up import local_services
try:
    with local_services(Path(sys.argv[1]), kafka="kafka" in sys.argv[2:]) as services:
        print(json.dumps([services.env, [server.pid for server in services.servers]]), flush=True)
        services.wait()
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: each run starts again what the last one left."""
    return tmp_path_factory.mktemp("kpi-data")


@contextlib.contextmanager
def running(data_dir: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str], list[int]]]:
    """A program with Postgres (and `kafka`) up, in a session of its own like a terminal's.

    Yields it, the settings that lead to its servers, and their pids.
    """
    command = [sys.executable, "-c", PROGRAM, str(data_dir), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as program:
        try:
            assert program.stdout is not None
            env, pids = json.loads(program.stdout.readline())
            yield program, env, pids
        finally:
            program.kill()


def lock_is_free(data_dir: Path) -> bool:
    with locked(data_dir):
        return True


def test_ctrl_c_ends_both_servers(data_dir: Path) -> None:
    """Sent to the whole terminal, it leaves no process and no lock."""
    with running(data_dir, "kafka") as (program, env, pids):
        assert list(env) == ["KPI_BROKERS", "KPI_KAFKA_SECURITY", "KPI_DATABASE_URL"]
        os.killpg(program.pid, signal.SIGINT)
        assert program.wait(timeout=60) == 130
        await_gone(*pids)
    assert lock_is_free(data_dir)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_too(data_dir: Path, number: signal.Signals) -> None:
    """`kill` and a closed terminal leave no process and no lock."""
    with running(data_dir) as (program, _, pids):
        os.killpg(program.pid, number)
        assert program.wait(timeout=60) == 128 + number
        await_gone(*pids)
    assert lock_is_free(data_dir)


def test_killed_it_leaves_nothing_either(data_dir: Path) -> None:
    """After `kill -9` the servers end by themselves, and the next start waits for that."""
    with running(data_dir, "kafka") as (program, _, pids):
        program.kill()
        program.wait()
        assert lock_is_free(data_dir)
        await_gone(*pids)


def test_a_second_one_in_the_same_directory_is_one_clear_line(data_dir: Path) -> None:
    """It names the process that is there and touches nothing."""
    with running(data_dir) as (program, _, _):
        said = rf"in use by another .*process {program.pid}.*KPI_DATA_DIR"
        with pytest.raises(LocalError, match=said) as error, local_services(data_dir):
            pass
        assert "\n" not in str(error.value)
        os.killpg(program.pid, signal.SIGINT)


def test_a_server_that_dies_ends_the_program(data_dir: Path) -> None:
    """With an error, and the other server too."""
    with running(data_dir) as (program, _, pids):
        os.kill(pids[0], signal.SIGKILL)
        assert program.wait(timeout=60) == 1
        await_gone(*pids)


async def test_one_server_alone(data_dir: Path) -> None:
    """Where KPI_BROKERS names a real Kafka, only Postgres is started."""
    with local_services(data_dir, kafka=False) as services:
        assert list(services.env) == ["KPI_DATABASE_URL"]
        connection = await asyncpg.connect(services.env["KPI_DATABASE_URL"])
        await connection.close()


def test_none_at_all_needs_no_directory(tmp_path: Path) -> None:
    """With both real, nothing is made."""
    with local_services(tmp_path / "none", kafka=False, postgres=False) as services:
        assert services.env == {}
    assert not (tmp_path / "none").exists()


def test_the_env_file_works_for_shells_and_dotenv(tmp_path: Path) -> None:
    """Both read the same values, even awkward ones; nobody else may read the file."""
    env = {"KPI_BROKERS": "127.0.0.1:1", "KPI_DATABASE_URL": 'postgresql://u:a$b #\\`"@h/d'}
    path = tmp_path / ".env"
    write_env_file(path, env)
    assert dotenv_values(path) == env
    script = '. "$1"; printf "%s\\n" "$KPI_BROKERS" "$KPI_DATABASE_URL"'
    shell = subprocess.run(["sh", "-c", script, "sh", str(path)], capture_output=True, text=True, check=True)
    assert shell.stdout.splitlines() == list(env.values())
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_env_file_keeps_other_settings(tmp_path: Path) -> None:
    """A user's own lines survive; ours are replaced, not repeated."""
    path = tmp_path / ".env"
    path.write_text("KPI_TOPIC=mine\nKPI_BROKERS=old:1\n")
    write_env_file(path, {"KPI_BROKERS": "new:1"})
    write_env_file(path, {"KPI_BROKERS": "new:2"})
    assert path.read_text() == "KPI_TOPIC=mine\nexport KPI_BROKERS='new:2'\n"


def test_an_env_file_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    """The error names the file and the next move."""
    with pytest.raises(LocalError, match=r"can't write .*nowhere/.env: No such file or directory; choose another"):
        write_env_file(tmp_path / "nowhere" / ".env", {"KPI_BROKERS": "a:1"})
