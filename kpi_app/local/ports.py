"""Loopback ports that stay ours while a server restarts."""

import random
import socket
from pathlib import Path

from kpi_app.local.errors import LocalError

# Below the range that Linux (32768) and macOS (49152) give to outgoing connections: while a server is down,
# a client's connection, at worst one to itself, would otherwise take its port.
_FIRST, _LAST = 20_000, 32_000
_TRIES = 100


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as candidate:
        # As servers do it: the remains of closed connections (TIME_WAIT) don't count.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A free loopback port. Raises `LocalError` when none can be found."""
    for _ in range(_TRIES):
        port = random.randrange(_FIRST, _LAST)  # noqa: S311  not a secret
        if is_free(port):
            return port
    raise LocalError(f"no free port on 127.0.0.1 between {_FIRST} and {_LAST}: end what occupies them")


def choose_port(wanted: int | None, remembered: Path) -> int:
    """The wanted port, else the one used last time if it is free, else any; kept in the file `remembered`.

    Raises `LocalError` when the wanted one is taken.
    """
    if wanted is not None and not is_free(wanted):
        raise LocalError(f"port {wanted} on 127.0.0.1 is in use: end what listens there, or choose another")
    port = wanted or _last_port(remembered) or free_port()
    remembered.write_text(f"{port}\n")
    return port


def _last_port(remembered: Path) -> int | None:
    if not remembered.exists():
        return None
    text = remembered.read_text().strip()
    return int(text) if text.isdecimal() and is_free(int(text)) else None
