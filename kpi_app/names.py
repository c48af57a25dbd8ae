"""Names in the environment that look like a setting and are none: ignored in silence they would seem to be in force."""

import difflib
import functools
import logging
import re
from collections.abc import Collection, Sequence

log = logging.getLogger(__name__)

#: How much a name is like a setting's that it is surely meant to be one, and stops the start; and from where on that
#: setting is worth naming.
_MISSPELT, _LIKE = 0.85, 0.7

#: Names of ours that are no settings: the log of `make dev` and of Fluent Bit, and what tests are given.
_OTHERS = ("KPI_LOG_FILE", "KPI_TEST_")


def unknown(given: Collection[str], known: Collection[str]) -> list[str]:
    """The names that begin like a setting's and that nobody knows."""
    # Kubernetes names every service to every pod: KPI_WORKER_SERVICE_HOST, KPI_WORKER_PORT_6066_TCP, …
    services = [name.removesuffix("SERVICE_HOST") for name in given if name.endswith("_SERVICE_HOST")]
    linked = re.compile(f"(?:{'|'.join(map(re.escape, services))})(?:SERVICE_|PORT).*" if services else "(?!)")
    return sorted(
        name
        for name in set(given) - set(known)
        if name.startswith("KPI_") and not name.startswith(_OTHERS) and not linked.fullmatch(name)
    )


def misspelt(names: Sequence[str], known: Collection[str]) -> list[str]:
    """A line for each of these names that is almost a setting's."""
    return [line for name in names if (line := _told(name, known, _MISSPELT))]


def warn(names: Sequence[str], known: Collection[str]) -> None:
    """Log a line for each of these names, once in a process; never a value, which may be a secret."""
    for name in names:
        _warn(_told(name, known, _LIKE) or f"{name}: there is no such setting; `kpi settings` lists all")


def _told(name: str, known: Collection[str], likeness: float) -> str:
    found = difflib.get_close_matches(name, known, n=1, cutoff=likeness)
    return f"{name}: there is no such setting; did you mean {found[0]}?" if found else ""


@functools.cache
def _warn(line: str) -> None:
    log.warning("%s", line)
