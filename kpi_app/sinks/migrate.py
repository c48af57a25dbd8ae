"""Migrate: the plain SQL files of `migrations/`, in the order of their names, each once, in one transaction."""

import hashlib
import zoneinfo
from collections.abc import Callable, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

from kpi_app.errors import SinkBusy, SinkRefused, UserError
from kpi_app.sinks import queries
from kpi_app.sinks.connect import Database, Limits, Session

_SQL = queries.load("migrate")

#: The first Postgres that has multiranges.
_OLDEST = 14

#: Told, before each file, how many of how many are applied, and its name.
OnFile = Callable[[int, int, str], None]


class Migration(NamedTuple):
    """A file of `migrations/`."""

    name: str
    sha256: str
    sql: str


def migrations() -> list[Migration]:
    """All files, in the order in which they are applied."""
    # a link to the folder at the top; where kpi_app is installed, a folder with the same files
    folder = resources.files("kpi_app").joinpath("migrations")
    return sorted(_read(file) for file in folder.iterdir() if file.name.endswith(".sql"))


def _read(file: Traversable) -> Migration:
    data = file.read_bytes()
    return Migration(file.name, hashlib.sha256(data).hexdigest(), data.decode())


async def migrate(
    dsn: str,
    timezone: str = "UTC",
    files: Sequence[Migration] | None = None,
    limits: Limits | None = None,
    told: OnFile = lambda done, total, name: None,
) -> list[str]:
    """Apply what was not applied yet and set the time zone of the views; returns the names of what was applied.

    Safe to run by many at once. `told` hears which file is next. Raises `UserError` when the database can't be
    reached or used or is older than Postgres 14, when a file that was applied has changed since or is not known here,
    and for an unknown time zone.
    """
    files = migrations() if files is None else files
    _check_zone(timezone)
    try:
        async with Database(dsn, limits or Limits(command_s=None)) as database:
            return await _migrate(database, files, timezone, told)
    except (SinkBusy, SinkRefused) as error:
        raise UserError(str(error)) from error


async def pending(session: Session, files: Sequence[Migration]) -> list[Migration]:
    """What was not applied yet. Raises `UserError` as `migrate` does."""
    if not await session.value(_SQL["has_book"]):
        return list(files)
    applied = {row["name"]: row["sha256"] for row in await session.fetch(_SQL["applied"])}
    for file in files:
        if applied.get(file.name, file.sha256) != file.sha256:
            raise UserError(
                f"migration {file.name} was applied and has changed since: restore it, change things in a new file"
            )
    if unknown := sorted(applied.keys() - {file.name for file in files}):
        raise UserError(f"the database has migrations of a later kpi_app ({unknown[-1]}): upgrade this one")
    return [file for file in files if file.name not in applied]


async def _migrate(database: Database, files: Sequence[Migration], timezone: str, told: OnFile) -> list[str]:
    await _check_version(database)
    applied: list[str] = []
    while file := await _apply_next(database, files, told):
        applied.append(file.name)
    async with database.transaction() as session:
        await _set_zone(session, timezone)
    return applied


async def _apply_next(database: Database, files: Sequence[Migration], told: OnFile) -> Migration | None:
    async with database.transaction() as session:
        await session.execute(_SQL["lock"])  # for the transaction only: who dies or freezes lets go of it
        if not await session.value(_SQL["has_book"]):
            await session.execute(_SQL["open_book"])
        todo = await pending(session, files)
        if not todo:
            return None
        told(len(files) - len(todo), len(files), todo[0].name)
        await session.execute(todo[0].sql)
        await session.execute(_SQL["record"], todo[0].name, todo[0].sha256)
        return todo[0]


async def _check_version(database: Database) -> None:
    async with database.session() as session:
        version = int(await session.value(_SQL["version"]))
    if version < _OLDEST:
        raise UserError(f"Postgres at {database.where} is version {version}: {_OLDEST} or newer is needed")


def _check_zone(timezone: str) -> None:
    try:
        zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UserError(f"KPI_TIMEZONE={timezone!r} is not a time zone such as Europe/Berlin") from error


async def _set_zone(session: Session, timezone: str) -> None:
    await session.value(_SQL["knows_zone"], timezone)
    await session.execute(_SQL["write_setting"], "timezone", timezone)
