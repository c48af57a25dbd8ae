"""Connections to Postgres, and what its errors mean to the caller."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from kpi_app.errors import SinkBusy, SinkRefused
from kpi_app.secured import fault
from kpi_app.sinks.tls import check_tls

#: SQLSTATE classes and codes that pass by themselves, see https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING = (
    "08",  # connection exceptions
    "25P03",  # idle_in_transaction_session_timeout: we were frozen
    "25P04",  # transaction_timeout
    "40",  # rolled back: serialization, deadlock
    "53",  # too many connections, out of memory, disk full
    "55P03",  # lock_timeout
    "57",  # cancelled, shut down, starting up
    "58",  # errors of the system under it
)

#: What the user can do about errors that do not pass.
_REMEDIES = {
    "25006": "it takes no writes (a standby?): point KPI_DATABASE_URL to the primary",
    "28": "it does not let this user in: check user and password in KPI_DATABASE_URL",
    "3D000": "there is no such database: create it, or mend KPI_DATABASE_URL",
    "3F000": "the schema is not there: run `kpi migrate`",
    "42501": "the user lacks rights there: grant them, or let the owner run `kpi migrate`",
    "42P01": "tables are missing: run `kpi migrate`",
    "42703": "columns are missing: run `kpi migrate`",
}


@dataclass(frozen=True)
class Limits:
    """How long things may take, seconds, and how many connections there may be."""

    connect_s: float = 5
    #: None: as long as it takes.
    command_s: float | None = 30
    #: Postgres ends a session that leaves a transaction idle for this long: a frozen worker must not hold a lock.
    idle_in_transaction_s: float = 10
    #: The same for a session whose client takes nothing of what it is sent, where TCP is between them.
    unread_s: float = 20
    close_s: float = 3
    connections: int = 4


class Session:
    """One connection that speaks in queries of the `.sql` files. Raises `SinkBusy` and `SinkRefused`."""

    def __init__(self, connection: Any, where: str) -> None:
        self._connection = connection
        #: host:port/database, for people.
        self.where = where

    async def fetch(self, sql: str, *parameters: object) -> Sequence[Any]:
        """The rows of a query; parameters are never part of its text."""
        with translated(self.where):
            rows: Sequence[Any] = await self._connection.fetch(sql, *parameters)
            return rows

    async def value(self, sql: str, *parameters: object) -> Any:
        """The first column of the first row, None when there is none."""
        with translated(self.where):
            return await self._connection.fetchval(sql, *parameters)

    async def execute(self, sql: str, *parameters: object) -> None:
        """Run a query, or several when it has no parameters."""
        with translated(self.where):
            await self._connection.execute(sql, *parameters)


class Database:
    """A few connections, made when needed; `async with` closes them."""

    def __init__(self, dsn: str, limits: Limits | None = None) -> None:
        self._dsn = dsn
        self._limits = limits or Limits()
        self._pool: Any = None
        #: host:port/database, for people.
        self.where = _where(dsn)

    async def __aenter__(self) -> "Database":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A connection for a while. Raises `SinkBusy` when none can be had in time."""
        with translated(self.where):
            try:
                pool = await self._opened()
                connection = await pool.acquire(timeout=2 * self._limits.connect_s)
            except ssl.SSLCertVerificationError:  # a ValueError, too
                raise
            except ValueError as error:  # the URL is first read when there is a connection to make
                raise SinkRefused("KPI_DATABASE_URL is not postgresql://user:password@host:port/database") from error
        try:
            yield Session(connection, self.where)
        finally:
            with suppress(SinkBusy, SinkRefused), translated(self.where):  # what had to be done is done
                await pool.release(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """A transaction, committed unless the block raises."""
        async with self.session() as session:
            # said aloud: merge relies on each statement seeing what was committed before it, not on a default
            await session.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            try:
                yield session
            except BaseException:
                with suppress(SinkBusy, SinkRefused):  # a lost connection is rolled back already
                    await session.execute("ROLLBACK")
                raise
            await session.execute("COMMIT")

    async def close(self) -> None:
        """Let go of every connection, for good; politely at first, within seconds in any case."""
        if self._pool is not None:
            with suppress(TimeoutError):  # then the pool has cut its connections off
                await asyncio.wait_for(self._pool.close(), self._limits.close_s)

    async def _opened(self) -> Any:
        if self._pool is None:
            check_tls(self._dsn)
            self._pool = await asyncpg.create_pool(  # with no connection to make, this does not wait
                self._dsn,
                min_size=0,
                max_size=self._limits.connections,
                timeout=self._limits.connect_s,
                command_timeout=self._limits.command_s,
                server_settings=self._server_settings(),
            )
        return self._pool

    def _server_settings(self) -> dict[str, str]:
        return {
            "application_name": "kpi_app",
            "timezone": "UTC",
            "idle_in_transaction_session_timeout": f"{self._limits.idle_in_transaction_s * 1000:.0f}",
            "tcp_user_timeout": f"{self._limits.unread_s * 1000:.0f}",
        }


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn errors of the driver into `SinkBusy` or `SinkRefused`, by class and SQLSTATE; the cause is kept."""
    try:
        yield
    except (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError) as error:
        raise SinkBusy(f"the tables in Postgres at {where} were just changed") from error
    except asyncpg.PostgresError as error:
        raise _translate(error, where) from error
    except asyncpg.InterfaceError as error:
        raise SinkBusy(f"the connection to Postgres at {where} is gone: {_short(error)}") from error
    except ssl.SSLCertVerificationError as error:
        raise SinkRefused(f"Postgres at {where}: {fault(error, 'sslrootcert in KPI_DATABASE_URL')}") from error
    except (asyncpg.InternalClientError, OSError) as error:  # TimeoutError is an OSError
        raise SinkBusy(f"Postgres at {where} can't be reached: {_short(error)}") from error


def _translate(error: Any, where: str) -> SinkBusy | SinkRefused:
    state = error.sqlstate or ""
    if state.startswith(_PASSING):
        return SinkBusy(f"Postgres at {where} can't take this now: {_short(error)}")
    remedy = _REMEDIES.get(state) or _REMEDIES.get(state[:2])
    if remedy:
        return SinkRefused(f"Postgres at {where}: {remedy} ({_short(error)})")
    return SinkRefused(f"Postgres at {where} refused: {_short(error)} (SQLSTATE {state})")


def _short(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer"
    return (str(error).splitlines() or [type(error).__name__])[0]


def _where(dsn: str) -> str:
    try:
        url = urlsplit(dsn)
        host = parse_qs(url.query).get("host", [url.hostname or "127.0.0.1"])[0]
        return f"{host}:{url.port or 5432}{url.path or '/'}"
    except ValueError:  # told as KPI_DATABASE_URL's fault as soon as it is used
        return "?"
