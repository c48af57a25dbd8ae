"""The account that Postgres runs under: it refuses to run as root."""

import os
import pwd
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kpi_app.local.errors import LocalError

_CANDIDATES = ("postgres", "nobody")
# Linux capability numbers, capabilities(7); the first is the weaker, containers often grant only the second.
_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE = 2, 1


@dataclass(frozen=True)
class Account:
    """How to run a program as another user: what goes before its arguments, and the ids to change to."""

    ids: tuple[int, int]  # user and group, the owner of its files
    prefix: tuple[str, ...] = ()  # a program that changes the user itself

    @property
    def run_as(self) -> tuple[int, int] | None:
        """The ids that whoever starts the program has to change to; None when `prefix` does it."""
        return None if self.prefix else self.ids

    def own(self, path: Path) -> None:
        """Gives a file of ours to the account."""
        os.chown(path, *self.ids)


def find_account(needed: Iterable[Path], data: Path) -> Account | None:
    """The account for Postgres, or None when we are not root and simply run it.

    `needed`: paths that it has to reach; `data`: its data directory, whose owner it stays when that exists.
    Raises `LocalError` when there is none that can.
    """
    if os.geteuid() != 0:
        return None
    user = _owner(data) or _ordinary_user()
    ids = (user.pw_uid, user.pw_gid)
    barrier = _first_barrier([*needed, data], *ids)
    return Account(ids, _past(barrier, ids) if barrier else ())


def _owner(data: Path) -> pwd.struct_passwd | None:
    if not data.exists() or data.stat().st_uid == 0:
        return None
    return pwd.getpwuid(data.stat().st_uid)


def _ordinary_user() -> pwd.struct_passwd:
    for name in _CANDIDATES:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise LocalError(
        "Postgres refuses to run as root and there is no user 'postgres' or 'nobody' to run it as: "
        "run kpi_app as an ordinary user, or set KPI_DATABASE_URL to a Postgres of yours"
    )


def _first_barrier(paths: Iterable[Path], uid: int, gid: int) -> Path | None:
    """The first directory on the way to a path that the user may not pass."""
    for path in paths:
        for parent in reversed(path.absolute().parents):
            if parent.exists() and not _may_pass(parent.stat(), uid, gid):
                return parent
    return None


def _may_pass(status: os.stat_result, uid: int, gid: int) -> bool:
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    return bool(status.st_mode & (stat.S_IXGRP if status.st_gid == gid else stat.S_IXOTH))


def _past(barrier: Path, ids: tuple[int, int]) -> tuple[str, ...]:
    """A prefix that lets the account past closed directories (/root, say) without opening them to all."""
    setpriv = shutil.which("setpriv")
    capability = _capability()
    if setpriv is None or capability is None:
        raise LocalError(
            f"Postgres refuses to run as root, and another user can't pass {barrier}: run kpi_app as an "
            "ordinary user, or from a directory that all may enter, with KPI_DATA_DIR in one, too"
        )
    uid, gid = ids
    only = f"-all,+{capability}"
    ambient = (f"--inh-caps={only}", f"--ambient-caps={only}")
    return (setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *ambient, "--pdeathsig=KILL", "--")


def _capability() -> str | None:
    """The name of a capability that we hold and that passes directories; None outside Linux."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    held = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
    if held & (1 << _CAP_DAC_READ_SEARCH):
        return "dac_read_search"
    return "dac_override" if held & (1 << _CAP_DAC_OVERRIDE) else None
