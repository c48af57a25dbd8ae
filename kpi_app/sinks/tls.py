"""TLS to Postgres as `KPI_DATABASE_URL` asks for it: its mistakes told before a connection is made.

asyncpg follows libpq (sslmode, sslrootcert, sslcert, sslkey, sslpassword), but names neither setting nor file when one
of them is wrong.
"""

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from kpi_app.errors import SinkRefused
from kpi_app.secured import unusable

_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def check_tls(dsn: str) -> None:
    """Raise `SinkRefused` when the URL's parameters of TLS can't be followed. `dsn` is well-formed."""
    given = {name: values[-1] for name, values in parse_qs(urlsplit(dsn).query).items()}
    mode, root = given.get("sslmode", "prefer"), given.get("sslrootcert")
    if mode not in _MODES:
        raise SinkRefused(f"KPI_DATABASE_URL: sslmode={mode!r} is none of: {', '.join(_MODES)}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if root:
        _load("sslrootcert", root, lambda: context.load_verify_locations(root))
    elif mode.startswith("verify-") and not _has_default_root():
        raise SinkRefused(f"KPI_DATABASE_URL: sslmode={mode} needs sslrootcert=FILE, the CA of Postgres' certificate")
    if cert := given.get("sslcert"):
        key, password = given.get("sslkey"), given.get("sslpassword", "")
        if key:
            _load("sslkey", key, Path(key).read_bytes)
        # never None: without a password OpenSSL would ask for one at the terminal
        _load("sslcert", cert, lambda: context.load_cert_chain(cert, key, lambda: password))


def _load(name: str, path: str, load: Callable[[], object]) -> None:
    try:
        load()
    except (OSError, ValueError) as error:
        reason = unusable(error, "not what it should be, in PEM, or its key or password does not fit")
        raise SinkRefused(f"KPI_DATABASE_URL: {name}={path}: {reason}") from error


def _has_default_root() -> bool:
    """Whether there is one in the places that libpq knows, too."""
    return bool(os.environ.get("PGSSLROOTCERT")) or Path("~/.postgresql/root.crt").expanduser().exists()
