"""What the lines of each window are by dimension, and how many visitors they had: a recount with `re` and dicts."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

#: The lines of `tests.exactness.lines`.
_LINE = re.compile(r'(\S+) - - \[(.+)\] "(GET) (\S+) (HTTP/1.1)" (\d{3}) (\d+) "-" "(.+)"')

#: Window size and start, dimension, value.
Key = tuple[int, datetime, str, str]

#: The dimensions that this recount knows.
DIMENSIONS = ("status", "method", "protocol", "path", "referrer", "client")


class Listed:
    """Grows by one counted record after the other. `sizes_s`: of the windows, each a multiple of the one before."""

    def __init__(self, sizes_s: Iterable[int]) -> None:
        self._sizes_s = tuple(sizes_s)
        # by the smallest windows only, with their start in seconds: the larger ones are sums of these
        self._visitors: dict[int, set[tuple[str, str]]] = defaultdict(set)
        self._values: dict[tuple[int, str, str], list[int]] = defaultdict(_nothing)

    def add(self, value: bytes) -> None:
        """Count a record that was accepted."""
        text = json.loads(value)["log"] if value.startswith(b"{") else value.decode()
        match = _LINE.fullmatch(text)
        assert match, text
        client, time, method, path, protocol, status, size, agent = match.groups()
        base_s = self._sizes_s[0]
        start_s = _epoch_s(time) // base_s * base_s
        told = (status, method, protocol, path.partition("?")[0], "(none)", client.rpartition(".")[0] + ".0")
        self._visitors[start_s].add((client, agent))
        for dimension, one in zip(DIMENSIONS, told, strict=True):
            counts = self._values[start_s, dimension, one]
            for place, more in enumerate((1, int(size), status[0] in "45")):
                counts[place] += more

    def unite(self, other: "Listed") -> None:
        """Add what another one has counted."""
        for start_s, seen in other._visitors.items():
            self._visitors[start_s] |= seen
        for key, more in other._values.items():
            self._values[key] = list(map(sum, zip(self._values[key], more, strict=True)))

    @property
    def values(self) -> dict[Key, list[int]]:
        """Requests, bytes and errors; every window has the row of the others, with nothing in it."""
        values: dict[Key, list[int]] = {}
        for (start_s, dimension, value), more in self._values.items():
            for window in self._windows(start_s):
                values.setdefault((*window, dimension, "(other)"), [0, 0, 0])
                counts = values.setdefault((*window, dimension, value), [0, 0, 0])
                counts[:] = map(sum, zip(counts, more, strict=True))
        return values

    @property
    def visitors(self) -> Mapping[tuple[int, datetime], int]:
        """Distinct clients and agents by window."""
        visitors: dict[tuple[int, datetime], set[tuple[str, str]]] = defaultdict(set)
        for start_s, seen in self._visitors.items():
            for window in self._windows(start_s):
                visitors[window] |= seen
        return {window: len(seen) for window, seen in visitors.items()}

    def _windows(self, start_s: int) -> list[tuple[int, datetime]]:
        return [(size_s, datetime.fromtimestamp(start_s // size_s * size_s, UTC)) for size_s in self._sizes_s]


def _nothing() -> list[int]:
    return [0, 0, 0]


@lru_cache(maxsize=10_000)  # strptime would take most of a recount's time, and lines come together
def _epoch_s(time: str) -> int:
    return int(datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z").timestamp())


def found(rows: Iterable[Mapping[str, Any]]) -> dict[Key, list[int]]:
    """The rows of the database in the same shape; the dimensions that are not known here are left out."""
    return {
        (row["window_seconds"], row["window_start"], row["dimension"], row["value"]): [
            row[name] for name in ("requests", "bytes_sent", "errors")
        ]
        for row in rows
        if row["dimension"] in DIMENSIONS
    }
