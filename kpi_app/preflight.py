"""What a process needs of this machine, checked before it starts, in lines that the user can act on."""

import socket
import tempfile
from pathlib import Path

from kpi_app.errors import UserError


def check_data_dir(path: Path) -> None:
    """Make the directory. Raises `UserError` when it can't be made or written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"KPI_DATA_DIR={path}: {error.filename} is no directory; name another place") from error
    except OSError as error:
        raise UserError(f"KPI_DATA_DIR={path}: {error.strerror}; mend that, or name another place") from error


def check_port(host: str, port: int) -> None:
    """Raise `UserError` when the web endpoint could not bind there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"KPI_WEB_PORT={port}: cannot listen on {host}:{port}: {error.strerror}; "
                "a second worker on this host needs another KPI_WEB_PORT"
            ) from error
