"""The embedded Postgres is a real one behind a password, and comes back from a crash with what it had."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from kpi_app.local.account import find_account
from kpi_app.local.errors import LocalError
from kpi_app.local.postgres import EmbeddedPostgres
from tests.conftest import connected
from tests.local.processes import exists

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run Postgres as somebody else")


async def value_of(dsn: str, sql: str) -> object:
    async with connected(dsn) as connection:
        return await connection.fetchval(sql)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place)


async def test_an_empty_database_is_there(database: str) -> None:
    """Text is UTF-8 and times are UTC, whatever the machine's language and place."""
    assert await value_of(database, "SELECT current_setting('server_encoding')") == "UTF8"
    assert await value_of(database, "SELECT current_setting('timezone')") == "UTC"
    assert await value_of(database, "SELECT lower('ÄÖ')") == "äö"


async def test_a_wrong_password_is_refused(breakable_postgres: EmbeddedPostgres) -> None:
    """So is none; the right one opens."""
    server = breakable_postgres
    assert await value_of(server.dsn, "SELECT 1") == 1
    for wrong in ("wrong", ""):
        with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InterfaceError)):
            await value_of(server.dsn.replace(server.password, wrong), "SELECT 1")


def test_the_password_is_made_anew_and_hidden(breakable_postgres: EmbeddedPostgres) -> None:
    """It is long, in a file that only its owner reads, and on no command line."""
    server = breakable_postgres
    assert len(server.password) >= 24
    assert stat.S_IMODE((server.directory / "password").stat().st_mode) == 0o600
    if Path("/proc/self").exists():
        assert server.password.encode() not in Path(f"/proc/{server.pid}/cmdline").read_bytes()


async def test_a_killed_postgres_comes_back_with_its_data_and_port(breakable_postgres: EmbeddedPostgres) -> None:
    """SIGKILL of the postmaster and a new start lose nothing that was committed."""
    server, port = breakable_postgres, breakable_postgres.port
    await value_of(server.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    server.kill()
    assert not exists(server.pid)
    server.start()
    assert server.port == port
    assert await value_of(server.dsn, "SELECT answer FROM kept") == 42


async def test_stopping_ends_open_sessions(breakable_postgres: EmbeddedPostgres) -> None:
    """A client that stays connected doesn't hold up the end."""
    connection = await asyncpg.connect(breakable_postgres.dsn)
    breakable_postgres.stop()
    assert not exists(breakable_postgres.pid)
    assert breakable_postgres._kept is not None
    assert breakable_postgres._kept.exit_code == 0
    connection.terminate()


def test_a_durable_one_starts_again_in_the_same_directory(tmp_path: Path) -> None:
    """The second start finds data, password and port."""
    with EmbeddedPostgres(tmp_path) as server:
        first = server.dsn
    with EmbeddedPostgres(tmp_path) as server:
        assert server.dsn == first


def test_an_interrupted_first_start_is_made_good(tmp_path: Path) -> None:
    """What a killed set-up left is thrown away."""
    (tmp_path / "data.incoming").mkdir()
    (tmp_path / "data.incoming" / "PG_VERSION").write_text("half")
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        assert server.running


def test_data_of_another_version_is_one_clear_line(tmp_path: Path) -> None:
    """It isn't touched."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9\n")
    (tmp_path / "password").write_text("x")
    with pytest.raises(LocalError, match=r"was made by Postgres 9 and this one is .*move it away"):
        EmbeddedPostgres(tmp_path).start()


@as_root
def test_for_root_it_runs_as_an_ordinary_user(open_directory: Path) -> None:
    """Where everyone may go, plainly."""
    account = find_account([], open_directory / "data")
    assert account is not None
    assert account.prefix == ()
    with EmbeddedPostgres(open_directory, durable=False) as server:
        assert Path(f"/proc/{server.pid}").stat().st_uid == account.ids[0] != 0


@as_root
def test_for_root_it_runs_in_closed_places_too(open_directory: Path) -> None:
    """A home like /root need not be opened to everyone."""
    closed = open_directory / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedPostgres(closed / "postgres", durable=False) as server:
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
