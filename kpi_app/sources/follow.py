"""Follow: which files to read now, while logs are rotated under our hands."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kpi_app.errors import UserError
from kpi_app.sources.files import Identity, identity_of
from kpi_app.sources.tail import Tail

log = logging.getLogger(__name__)

#: A renamed file is written to until the server reopens its log; after this long without a line it is over.
ROTATE_WAIT_S = 60.0

Missed = Callable[[Path, Iterable[Tail]], Mapping[Path, Identity]]


@dataclass
class _Watched:
    tail: Tail
    #: Since when no path leads to it, or since its last line after that; monotonic seconds.
    left_s: float | None = None


class Follower:
    """The open files of the followed paths, and those that were renamed away from them.

    `missed`, given a path and the files that are watched, tells which ones came and went there unseen, oldest first.
    """

    def __init__(self, paths: Iterable[Path], tails: Iterable[Tail], missed: Missed) -> None:
        self._paths = tuple(paths)
        self._missed = missed
        self._watched = {tail.identity: _Watched(tail) for tail in tails}
        self._complained: set[Path] = set()

    def poll(self, now_s: float) -> list[Tail]:
        """The files to read, in this order: renamed ones first, as their lines are older."""
        current = {identity for path in self._paths if (identity := self._look(path))}
        for identity, watched in self._watched.items():
            if identity in current:
                watched.left_s = None
            elif watched.left_s is None:
                watched.left_s = now_s
        return [each.tail for each in sorted(self._watched.values(), key=lambda each: each.left_s is None)]

    def heard(self, tail: Tail, now_s: float) -> None:
        """Take note that the file brought lines."""
        watched = self._watched[tail.identity]
        if watched.left_s is not None:
            watched.left_s = now_s

    def retire(self, now_s: float) -> list[Tail]:
        """Files that are over; they are watched no longer."""
        over = [
            each.tail
            for each in self._watched.values()
            if each.left_s is not None and now_s - each.left_s >= ROTATE_WAIT_S
        ]
        for tail in over:
            del self._watched[tail.identity]
        return over

    def close(self) -> None:
        """Close all files."""
        for each in self._watched.values():
            each.tail.close()

    def _look(self, path: Path) -> Identity | None:
        """The file that the path names now, watched from now on; None where there is none to read."""
        try:
            identity = identity_of(path)
            if identity is not None and identity not in self._watched:
                # Held up for long, by Kafka for one, we may have slept through more than one rotation.
                missed = self._missed(path, [each.tail for each in self._watched.values()])
                for other, expected in (*missed.items(), (path, identity)):
                    if not self._watch(other, expected, path):
                        return None  # rotated once more under our hands: the next look begins anew
        except (UserError, OSError) as error:
            # Just rotated, or rights that are about to be set: the other files go on.
            if path not in self._complained:
                log.warning("%s can't be read for now: %s", path, error)
            self._complained.add(path)
            return None
        self._complained.discard(path)
        return identity

    def _watch(self, path: Path, expected: Identity, written_as: Path) -> bool:
        """Watch the file, unless another one has its name by now."""
        tail = Tail(path, written_as)
        if tail.identity == expected and tail.identity not in self._watched:
            self._watched[tail.identity] = _Watched(tail)
        else:
            tail.close()
        return tail.identity == expected
