"""What the lines of each window are by dimension, and how many visitors they had: a recount with `re` and dicts."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

#: The lines of `tests.exactness.lines`.
_LINE = re.compile(r'(\S+) - - \[(.+)\] "(GET) (\S+) (HTTP/1.1)" (\d{3}) (\d+) "-" "(.+)"')

#: Window size and start, dimension, value.
Key = tuple[int, datetime, str, str]

#: The dimensions that this recount knows.
DIMENSIONS = ("status", "method", "protocol", "path", "referrer", "client")


class Listed:
    """Grows by one counted record after the other."""

    def __init__(self, sizes_s: Iterable[int]) -> None:
        self._sizes_s = tuple(sizes_s)
        self._visitors: dict[tuple[int, datetime], set[tuple[str, str]]] = defaultdict(set)
        #: Requests, bytes and errors; every window has the row of the others.
        self.values: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0])

    def add(self, value: bytes) -> None:
        """Count a record that was accepted."""
        text = json.loads(value)["log"] if value.startswith(b"{") else value.decode()
        match = _LINE.fullmatch(text)
        assert match, text
        client, time, method, path, protocol, status, size, agent = match.groups()
        event_s = int(datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z").timestamp())
        network = client.rpartition(".")[0] + ".0"
        told = (status, method, protocol, path.partition("?")[0], "(none)", network)
        for size_s in self._sizes_s:
            window = size_s, datetime.fromtimestamp(event_s // size_s * size_s, UTC)
            self._visitors[window].add((client, agent))
            for dimension, one in zip(DIMENSIONS, told, strict=True):
                self.values[*window, dimension, "(other)"]
                counts = self.values[*window, dimension, one]
                for place, more in enumerate((1, int(size), status[0] in "45")):
                    counts[place] += more

    @property
    def visitors(self) -> Mapping[tuple[int, datetime], int]:
        """Distinct clients and agents by window."""
        return {window: len(seen) for window, seen in self._visitors.items()}


def found(rows: Iterable[Mapping[str, Any]]) -> dict[Key, list[int]]:
    """The rows of the database in the same shape; the dimensions that are not known here are left out."""
    return {
        (row["window_seconds"], row["window_start"], row["dimension"], row["value"]): [
            row[name] for name in ("requests", "bytes_sent", "errors")
        ]
        for row in rows
        if row["dimension"] in DIMENSIONS
    }
