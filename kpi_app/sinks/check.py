"""Check: what a worker or command says before it starts, in one line, when Postgres is not ready for it."""

from kpi_app.errors import SinkBusy, SinkRefused, UserError
from kpi_app.sinks.connect import Database, Limits, Session
from kpi_app.sinks.migrate import migrations, pending


async def check_connection(dsn: str, limits: Limits | None = None) -> None:
    """Return when the database can be used.

    Raises `UserError`, with the one thing to do, when it is unreachable, does not let us in, is missing,
    was not migrated, or was migrated by a later version.
    """
    try:
        async with Database(dsn, limits) as database, database.session() as session:
            await check_migrated(session)
    except (SinkBusy, SinkRefused) as error:
        raise UserError(str(error)) from error


async def check_migrated(session: Session) -> None:
    """Return when nothing is to be migrated. Raises `UserError` otherwise."""
    if todo := await pending(session, migrations()):
        names = ", ".join(file.name for file in todo)
        raise UserError(f"Postgres at {session.where} lacks migrations ({names}): run `kpi migrate`")
