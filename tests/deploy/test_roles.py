"""The roles of deploy/postgres, on a real Postgres: each can do its work, and none can do another's."""

import re
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from kpi_app.core.segment import LATE_BLOCK
from kpi_app.errors import UserError
from kpi_app.feeds.access import ACCESS
from kpi_app.report.ask import Wish
from kpi_app.sinks.check import check_connection
from kpi_app.sinks.migrate import migrate
from kpi_app.sinks.reset import reset
from kpi_app.web.reader import PostgresReader
from tests.deploy.conftest import PASSWORDS, SCRIPTS, Deployed, with_password
from tests.sinks.owner import TOPIC, Owner
from tests.sinks.store import Store, settle

HOUR_S, DAY_S = 3_600, 86_400

#: What people read; each is in docs/kpis.md.
PUBLISHED = (
    *("access_kpi", "access_kpi_by", "access_load", "access_hourly", "access_daily"),
    *("ingest_ledger", "conservation"),
)
#: What readers have no business with.
KEPT_FROM_READERS = ("kpi_secret", "segment")

WRITES = (
    "INSERT INTO access_kpi_by VALUES (now(), 60, 'path', '/', 1, 0, 1, 0)",
    "UPDATE access_kpi SET requests = 0",
    "DELETE FROM ingest_ledger",
    "TRUNCATE access_kpi",
    "INSERT INTO dirty_window VALUES ('access-log', now(), 60)",
    "SELECT * FROM ingest_ledger FOR UPDATE",
)
DDL = (
    "CREATE TABLE mine (it integer)",
    "CREATE TEMPORARY TABLE mine (it integer)",
    "CREATE SCHEMA mine",
    "ALTER TABLE access_kpi ADD COLUMN mine integer",
    "DROP TABLE segment",
    "TRUNCATE segment",
    "CREATE OR REPLACE VIEW conservation AS SELECT 1",
    "CREATE ROLE mine SUPERUSER",
    "SET ROLE kpi_owner",
)


async def test_the_writer_does_all_of_a_workers_work(deployed: Deployed) -> None:
    """Claim, key, flush, merge with larger windows and lists, other windows, compaction, retention: none is refused."""
    dsn = with_password(deployed.dsn("writer"), "writer")
    store = Store(dsn, await deployed.connect())
    try:
        await check_connection(dsn)
        sink = await store.sink(larger_s=(HOUR_S, DAY_S), top=2)
        assert len(await sink.visitor_key()) == 32
        await sink.expect(TOPIC, 1)
        owner = Owner().read(1, 2, 1_000)
        rest = LATE_BLOCK - owner.state.ledger.next_offset
        await sink.flush(owner.read(5, *[1_000] * (rest - 1)).checkpoint())  # a late line, in a block that is past
        await settle(sink)
        await sink.flush(owner.checkpoint(idle=True))
        while await sink.tidy():
            pass
        assert await store.eye.fetchval("SELECT count(*) FROM segment WHERE part > 0") == 0  # united
        other = await store.sink(larger_s=(HOUR_S,), keep_s=1, top=2)
        await settle(other)
        while await other.tidy():
            pass
        assert await store.eye.fetchval("SELECT sum(expired) FROM ingest_ledger") > 0
        assert await store.eye.fetch("SELECT * FROM conservation WHERE difference <> 0") == []
    finally:
        await store.close()


async def test_the_writer_changes_no_schema_and_forgets_no_books(deployed: Deployed) -> None:
    """Who gets hold of a worker's password can't take the schema, the books or the key away."""
    forgets = ["DELETE FROM ingest_ledger", "DELETE FROM kpi_feed", "DELETE FROM kpi_secret"]
    assert await allowed(deployed, "writer", [*DDL, *forgets]) == []


async def test_a_worker_that_would_migrate_or_reset_is_told_who_may(bare: Deployed) -> None:
    """In one line, by the commands themselves."""
    dsn = with_password(bare.dsn("writer"), "writer")
    with pytest.raises(UserError, match="lacks rights there: grant them, or let the owner run `kpi migrate`"):
        await migrate(dsn)
    await migrate(with_password(bare.dsn("owner"), "owner"))
    assert bare.psql("grants.sql", "owner").returncode == 0
    with pytest.raises(UserError, match="lacks rights"):
        await reset(dsn, ACCESS)
    await reset(with_password(bare.dsn("owner"), "owner"), ACCESS)


async def test_the_reader_reads_what_is_published(deployed: Deployed) -> None:
    """Every table and view of docs/kpis.md."""
    reads = [f"TABLE {table}" for table in PUBLISHED]
    assert await allowed(deployed, "reader", reads) == reads


async def test_the_reader_makes_reports(deployed: Deployed) -> None:
    """`kpi report` and the pages need no more than the reader may."""
    store = Store(with_password(deployed.dsn("writer"), "writer"), await deployed.connect())
    sink = await store.sink()
    await sink.flush(Owner().read(0, 1, 2).checkpoint())
    await settle(sink)
    await store.close()
    dsn = with_password(deployed.dsn("reader"), "reader")
    await check_connection(dsn)
    reader = PostgresReader(dsn, ACCESS, TOPIC, 60, ZoneInfo("UTC"))
    try:
        await reader.ping()
        [row] = await reader.windows(60, None, None, 10)
        assert row["requests"] == 3
        [total] = await reader.report(Wish(None, None, None, None, 10))
        assert total["requests"] == 3
        assert len(await reader.top(60, row["window_start"], "path")) == 4
    finally:
        await reader.close()


async def test_the_reader_sees_neither_key_nor_state(deployed: Deployed) -> None:
    """With the key of visitors, their addresses could be tried out."""
    assert await allowed(deployed, "reader", [f"TABLE {table}" for table in KEPT_FROM_READERS]) == []


async def test_the_reader_writes_nothing(deployed: Deployed) -> None:
    """Not even in a session that it has made writable."""
    assert await allowed(deployed, "reader", [*WRITES, *DDL], "SET default_transaction_read_only = off") == []
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await run(deployed, "reader", WRITES[0])


async def test_a_readers_query_ends_by_itself(deployed: Deployed) -> None:
    """The limits are the role's, whatever the client asks for at first."""
    connection = await deployed.connect("reader")
    try:
        limits = {
            name: await connection.fetchval(f"SHOW {name}") for name in ("statement_timeout", "transaction_read_only")
        }
        assert limits == {"statement_timeout": "30s", "transaction_read_only": "on"}
        await connection.execute("SET statement_timeout = '10ms'")
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.fetch("SELECT pg_sleep(60)")
    finally:
        await connection.close()


async def test_every_table_is_somebodys(deployed: Deployed) -> None:
    """A migration that adds a table says in grants.sql who may do what with it."""
    connection = await deployed.connect()
    names = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'p')"
    )
    await connection.close()
    grants = (SCRIPTS / "grants.sql").read_text()
    assert [name for (name,) in names if not re.search(rf"GRANT [^;]*\b{name}\b", grants)] == []
    assert len(names) > 10


@pytest.mark.parametrize("script", ["roles.sql", "passwords.sql", "grants.sql"])
async def test_scripts_may_run_again(deployed: Deployed, script: str) -> None:
    """With the same result."""
    before = await rights(deployed)
    done = (
        deployed.give_passwords() if script == "passwords.sql" else deployed.psql(script, "owner" * (script[0] == "g"))
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert await rights(deployed) == before


async def test_a_missing_password_changes_none(deployed: Deployed) -> None:
    """A variable that is not set stops the script, and all may still log in with what they had."""
    given = dict.fromkeys(("POSTGRES_OWNER_PASSWORD", "POSTGRES_READER_PASSWORD"), "x")
    done = deployed.psql("passwords.sql", **given)
    assert done.returncode != 0
    for role in PASSWORDS:
        await (await deployed.connect(role)).close()


async def test_passwords_are_asked_for_and_not_logged(deployed: Deployed) -> None:
    """A wrong one is refused; the server's log has none, though it logs every statement."""
    await run(deployed, "", "ALTER ROLE CURRENT_USER SET log_statement = 'all'")
    try:
        assert deployed.give_passwords().returncode == 0
        for role in PASSWORDS:
            with pytest.raises(asyncpg.InvalidPasswordError):
                await deployed.connect(role, "wrong")
        log = deployed.server.log.read_text()
        assert "SET log_statement" in log
        assert "of %40 and" not in log
    finally:
        await run(deployed, "", "ALTER ROLE CURRENT_USER RESET log_statement")


async def test_nobody_else_comes_in(deployed: Deployed) -> None:
    """Another role of the same server can't connect to the database."""
    await run(deployed, "", "CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(deployed.dsn("owner"), user="stranger", password="stranger")  # noqa: S106
    finally:
        await run(deployed, "", "DROP ROLE stranger")


async def run(deployed: Deployed, role: str, *statements: str) -> None:
    """Run statements in a session of a role."""
    connection = await deployed.connect(role)
    try:
        for sql in statements:
            await connection.execute(sql)
    finally:
        await connection.close()


async def allowed(deployed: Deployed, role: str, statements: list[str], first: str = "SELECT 1") -> list[str]:
    """Those of some statements that a role has the rights for; none is kept."""
    connection = await deployed.connect(role)
    done = []
    try:
        await connection.execute(first)
        for sql in statements:
            attempt = connection.transaction()
            await attempt.start()
            try:
                await connection.execute(sql)
                done.append(sql)
            except asyncpg.InsufficientPrivilegeError:
                pass
            finally:
                await attempt.rollback()
    finally:
        await connection.close()
    return done


async def rights(deployed: Deployed) -> list[tuple[str, str]]:
    """Who may do what, as the catalogue has it."""
    connection = await deployed.connect()
    try:
        return await connection.fetch("SELECT relname, relacl::text FROM pg_class WHERE relacl IS NOT NULL ORDER BY 1")
    finally:
        await connection.close()
