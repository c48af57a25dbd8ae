"""A Postgres as deploy/postgres sets it up: three roles, the schema migrated by one, written and read by the others."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit
from uuid import uuid4

import asyncpg
import pytest

from kpi_app.local.postgres import EmbeddedPostgres, psql
from kpi_app.sinks.migrate import migrate

DEPLOY = Path(__file__).parents[2] / "deploy"
SCRIPTS = DEPLOY / "postgres"
PASSWORDS = {name: f"it's {name} of %40 and \\ it" for name in ("owner", "writer", "reader")}


@dataclass(frozen=True)
class Deployed:
    """A database with its roles."""

    server: EmbeddedPostgres
    name: str

    def dsn(self, role: str = "") -> str:
        """The URL of a role, `owner`, `writer` or `reader`; of the superuser without one."""
        url = urlsplit(self.server.dsn)._replace(path=f"/{self.name}")
        return url.geturl() if not role else url._replace(netloc=f"kpi_{role}@127.0.0.1:{url.port}").geturl()

    async def connect(self, role: str = "", password: str | None = None) -> asyncpg.Connection:
        """A connection of a role, with the password that passwords.sql gave it."""
        given = {} if not role else {"password": PASSWORDS[role] if password is None else password}
        return await asyncpg.connect(self.dsn(role), **given)

    def psql(self, script: str, role: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script of deploy/postgres as compose.yaml does."""
        url = urlsplit(self.server.dsn)
        return subprocess.run(
            [str(psql()), "-X", "-v", "ON_ERROR_STOP=1", "-f", str(SCRIPTS / script)],
            env={
                "PATH": os.environ["PATH"],
                "PGHOST": "127.0.0.1",
                "PGPORT": str(url.port),
                "PGUSER": f"kpi_{role}" if role else str(url.username),
                "PGPASSWORD": PASSWORDS[role] if role else str(url.password),
                "PGDATABASE": self.name,
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def give_passwords(self) -> subprocess.CompletedProcess[str]:
        """Run passwords.sql with `PASSWORDS`."""
        return self.psql("passwords.sql", **{f"POSTGRES_{name.upper()}_PASSWORD": it for name, it in PASSWORDS.items()})


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server of these tests' own: roles are the whole server's."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server


@pytest.fixture
async def bare(server: EmbeddedPostgres) -> AsyncIterator[Deployed]:
    """An empty database of the test's own, with the roles."""
    name = f"test_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(server.dsn)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    deployed = Deployed(server, name)
    for done in (deployed.psql("roles.sql"), deployed.give_passwords()):
        assert done.returncode == 0, done.stderr
    yield deployed
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def deployed(bare: Deployed) -> Deployed:
    """The same, migrated by the owner, with the grants."""
    await migrate(with_password(bare.dsn("owner"), "owner"))
    done = bare.psql("grants.sql", "owner")
    assert done.returncode == 0, done.stderr
    return bare


def with_password(dsn: str, role: str) -> str:
    """A URL with the password in its query, where nothing in it needs another meaning."""
    return f"{dsn}?password={quote(PASSWORDS[role], safe='')}"
