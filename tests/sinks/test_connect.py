"""Errors of Postgres say what to do next: wait, stop, or mend a setting; never a password."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from kpi_app.errors import SinkBusy, SinkRefused, UserError
from kpi_app.local.postgres import EmbeddedPostgres
from kpi_app.sinks import queries
from kpi_app.sinks.check import check_connection
from kpi_app.sinks.connect import Database, Limits, translated
from kpi_app.sinks.migrate import migrate
from tests.sinks.owner import Owner
from tests.sinks.store import Store

PASSING = [
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.DiskFullError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.InterfaceError,
    ConnectionRefusedError,
    ConnectionResetError,
    TimeoutError,
]
LASTING = [
    (asyncpg.UndefinedTableError, "kpi migrate"),
    (asyncpg.UndefinedColumnError, "kpi migrate"),
    (asyncpg.InsufficientPrivilegeError, "rights"),
    (asyncpg.ReadOnlySQLTransactionError, "primary"),
    (asyncpg.InvalidPasswordError, "password"),
    (asyncpg.InvalidCatalogNameError, "no such database"),
    (asyncpg.NumericValueOutOfRangeError, "22003"),
]


@pytest.mark.parametrize("kind", PASSING)
def test_error_that_passes_is_waited_for(kind: type[Exception]) -> None:
    """What ends by itself makes the sink busy; the driver's error stays its cause."""
    with pytest.raises(SinkBusy, match="db:5432/kpi") as caught, translated("db:5432/kpi"):
        raise kind("x")
    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.parametrize(("kind", "remedy"), LASTING)
def test_error_that_lasts_stops_and_says_what_to_do(kind: type[Exception], remedy: str) -> None:
    """What someone has to mend is refused, in one line that says how."""
    with pytest.raises(SinkRefused, match=remedy) as caught, translated("db:5432/kpi"):
        raise kind("first line\nsecond line")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, kind)


async def test_nobody_there_is_one_clear_line() -> None:
    """A database that can't be reached is named, without its password."""
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        await _nobody_there(f"postgresql://kpi:s3cret@127.0.0.1:{closed.getsockname()[1]}/kpi")


async def _nobody_there(dsn: str) -> None:
    with pytest.raises(UserError, match=r"127\.0\.0\.1:\d+/kpi can't be reached") as caught:
        await check_connection(dsn)
    assert "s3cret" not in str(caught.value)
    async with Database(dsn) as database:
        with pytest.raises(SinkBusy, match="can't be reached"):
            async with database.session():
                pass


async def test_something_else_that_listens_is_one_clear_line() -> None:
    """A server that is not Postgres, or says nothing, is told so in time."""

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    for manners in (rude, mute):
        async with await asyncio.start_server(manners, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(UserError, match="can't be reached"):
                await check_connection(f"postgresql://kpi@127.0.0.1:{port}/kpi", Limits(connect_s=0.3))


@pytest.mark.parametrize("dsn", ["nonsense", "http://127.0.0.1/kpi", "postgresql://kpi@127.0.0.1:port/kpi"])
async def test_wrong_url_is_named_as_the_setting(dsn: str) -> None:
    """A URL that is none is the fault of KPI_DATABASE_URL."""
    with pytest.raises(UserError, match="KPI_DATABASE_URL"):
        await check_connection(dsn)


async def test_missing_database_is_told(database: str) -> None:
    """A database that is not there is a matter of the URL, or of creating it."""
    with pytest.raises(UserError, match="no such database"):
        await check_connection(database + "_nowhere")


async def test_wrong_password_is_told_and_not_shown(breakable_postgres: EmbeddedPostgres) -> None:
    """Who is not let in learns which setting to mend; no password is repeated."""
    with pytest.raises(UserError, match="check user and password") as caught:
        await check_connection(_as("kpi:wr0ng", breakable_postgres.dsn))
    assert "wr0ng" not in str(caught.value)


async def test_missing_rights_are_refused(breakable_postgres: EmbeddedPostgres) -> None:
    """A role without rights on the tables is told so; waiting would not help."""
    await migrate(breakable_postgres.dsn)
    store = Store(breakable_postgres.dsn, await asyncpg.connect(breakable_postgres.dsn))
    await store.eye.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    await store.eye.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest")
    store.dsn = _as("guest:guest", store.dsn)
    with pytest.raises(SinkRefused, match="rights"):
        await store.unopened().open()
    await store.close()


async def test_database_that_was_not_migrated_is_told(database: str) -> None:
    """The check before the start says what is missing, and nothing when it is not."""
    with pytest.raises(UserError, match=r"0001_first\.sql.*run `kpi migrate`"):
        await check_connection(database)
    await migrate(database)
    await check_connection(database)


async def test_database_that_takes_no_writes_is_refused(store: Store) -> None:
    """A standby, or a database set to read-only, stops the worker."""
    await store.eye.execute(f"ALTER DATABASE {urlsplit(store.dsn).path[1:]} SET default_transaction_read_only = on")
    with pytest.raises(SinkRefused, match="primary"):
        await store.unopened().open()


async def test_sink_goes_on_after_its_sessions_were_ended(store: Store) -> None:
    """An administrator's cut is at most a busy sink, once for each connection, and no more."""
    sink, owner = await store.sink(), Owner()
    await sink.flush(owner.read(1).checkpoint())
    await store.end_sessions()
    with suppress(SinkBusy):  # unless the end was noticed before: then there is a new connection already
        await sink.flush(owner.read(2).checkpoint())
    assert await sink.flush(owner.checkpoint()) == 1


async def test_sessions_carry_our_limits(store: Store) -> None:
    """Who looks at Postgres sees whose sessions these are; a frozen one is ended after 10 s."""
    sink = await store.sink()
    async with sink.database.session() as session:
        assert await session.value("SHOW application_name") == "kpi_app"
        assert await session.value("SHOW idle_in_transaction_session_timeout") == "10s"


async def test_close_ends_within_seconds_whatever_is_under_way(store: Store) -> None:
    """A query that hangs does not keep a worker from stopping."""
    sink = store.unopened(limits=Limits(close_s=0.2))
    await sink.open()

    async def hang() -> None:
        async with sink.database.session() as session:
            await session.execute("SELECT pg_sleep(60)")

    hanging = asyncio.create_task(hang())
    await store.until(
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    )
    async with asyncio.timeout(3):
        await sink.close()
    with pytest.raises(SinkBusy):
        await hanging
    with pytest.raises(SinkBusy):
        await sink.ping()


async def test_changed_tables_are_taken_up_by_running_workers(store: Store) -> None:
    """A migration that widens a table costs a running worker a try or two."""
    sink, owner = await store.sink(), Owner()
    for time_s in range(10):  # prepared and cached
        await sink.flush(owner.read(time_s).checkpoint())
        await sink.merge()
    await store.eye.execute("ALTER TABLE access_kpi ADD COLUMN more bigint")
    await store.eye.execute("ALTER TABLE segment ADD COLUMN more bigint")
    await sink.flush(owner.read(11).checkpoint())
    await sink.merge()
    assert (await store.rows())[0]["requests"] == 11


def test_only_plain_names_become_part_of_a_query() -> None:
    """A table's name is the one thing put into a query's text; it can't be anything else."""
    assert queries.identifiers(["requests", "status_2xx"], "old.") == 'old."requests", old."status_2xx"'
    for hostile in ('x"; DROP TABLE segment; --', "", "a b", "X", "x" * 64, "1"):
        with pytest.raises(ValueError, match="can't name"):
            queries.identifiers([hostile])


def test_no_query_is_built_elsewhere() -> None:
    """SQL has its files: no module puts one together from pieces of text."""
    for module in Path(queries.__file__).parent.glob("*.py"):
        assert "SELECT *" not in module.read_text().upper(), module


def _as(who: str, dsn: str) -> str:
    url = urlsplit(dsn)
    return url._replace(netloc=f"{who}@{url.hostname}:{url.port}").geturl()
