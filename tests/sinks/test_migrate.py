"""Migrate: each file once, in order, all of it or nothing, whoever else is at it."""

import asyncio
import hashlib

import pytest

from kpi_app.errors import UserError
from kpi_app.sinks import migrate as subject
from kpi_app.sinks.check import check_connection
from kpi_app.sinks.migrate import Migration, migrate, migrations
from tests.conftest import connected


def _file(name: str, sql: str) -> Migration:
    return Migration(name, hashlib.sha256(sql.encode()).hexdigest(), sql)


async def test_files_are_applied_once_in_order(database: str) -> None:
    """The answer to migrate is what it applied; a second run applies nothing."""
    one, two = _file("0001_a.sql", "CREATE TABLE a (x int)"), _file("0002_b.sql", "ALTER TABLE a ADD COLUMN y int")
    base = migrations()
    assert await migrate(database, files=base) == [file.name for file in base]
    assert await migrate(database, files=[*base, one]) == ["0001_a.sql"]
    assert await migrate(database, files=[*base, one, two]) == ["0002_b.sql"]
    assert await migrate(database, files=[*base, one, two]) == []


async def test_it_is_told_which_file_is_next(database: str) -> None:
    """With how many of how many are applied; nothing, where nothing is left."""
    told: list[tuple[int, int, str]] = []
    files = [*migrations(), _file("9998_y.sql", "SELECT 1"), _file("9999_z.sql", "SELECT 2")]
    await migrate(database, files=files[:-1])
    for _ in range(2):
        await migrate(database, files=files, told=lambda *next_: told.append(next_))
    assert told == [(len(files) - 1, len(files), "9999_z.sql")]


async def test_many_may_migrate_at_once(database: str) -> None:
    """Workers that start together apply each file once, between them."""
    applied = await asyncio.gather(*[migrate(database) for _ in range(6)])
    assert sorted(name for names in applied for name in names) == [file.name for file in migrations()]


async def test_changed_file_is_refused(database: str) -> None:
    """A file that was applied can't be changed any more: others have run it as it was."""
    await migrate(database)
    first, *others = migrations()
    changed = _file(first.name, first.sql + " -- more")
    with pytest.raises(UserError, match=rf"{first.name} was applied and has changed since"):
        await migrate(database, files=[changed, *others])


async def test_older_program_is_refused(database: str) -> None:
    """A database that a later version has migrated is not for an earlier one."""
    await migrate(database, files=[*migrations(), _file("9999_z.sql", "SELECT 1")])
    with pytest.raises(UserError, match=r"9999_z\.sql.*upgrade"):
        await migrate(database)
    with pytest.raises(UserError, match=r"9999_z\.sql.*upgrade"):
        await check_connection(database)


async def test_older_postgres_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, before anything is made there: a migration would end in an error of syntax."""
    monkeypatch.setattr(subject, "_OLDEST", 99)
    with pytest.raises(UserError, match=r"^Postgres at \S+ is version \d\d: 99 or newer is needed$"):
        await migrate(database)
    assert await _value(database, "SELECT to_regclass('kpi_migration')") is None


async def test_file_that_fails_leaves_nothing(database: str) -> None:
    """A file is one transaction: what failed in the middle can be mended and run again."""
    files = [*migrations(), _file("0002_b.sql", "CREATE TABLE b (x int); SELECT 1 / 0")]
    with pytest.raises(UserError, match="division by zero"):
        await migrate(database, files=files)
    assert await _value(database, "SELECT to_regclass('b')") is None
    files[-1] = _file("0002_b.sql", "CREATE TABLE b (x int)")
    assert await migrate(database, files=files) == ["0002_b.sql"]


async def test_time_zone_of_the_views_is_a_setting(database: str) -> None:
    """Each run sets the zone; hours and days follow it, at once."""
    assert await migrate(database)
    assert await _value(database, "SELECT value FROM kpi_setting WHERE name = 'timezone'") == "UTC"
    assert await migrate(database, "Asia/Kolkata") == []
    assert await _value(database, "SELECT value FROM kpi_setting WHERE name = 'timezone'") == "Asia/Kolkata"


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "", "../../etc/passwd", "Europe", "UTC'; DROP TABLE segment; --"])
async def test_unknown_time_zone_is_refused(database: str, zone: str) -> None:
    """What is no time zone is the fault of KPI_TIMEZONE, and nothing is applied."""
    with pytest.raises(UserError, match="KPI_TIMEZONE"):
        await migrate(database, zone)
    assert await _value(database, "SELECT to_regclass('kpi_migration')") is None


async def test_unreachable_database_is_one_line(database: str) -> None:
    """Migrate has the same words for what the user can mend as the check before a start."""
    with pytest.raises(UserError, match="no such database"):
        await migrate(database + "_nowhere")


async def _value(dsn: str, sql: str) -> object:
    async with connected(dsn) as connection:
        return await connection.fetchval(sql)
