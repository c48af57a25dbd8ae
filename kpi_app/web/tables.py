"""Table inspection, on the paths of faust's own and in its shape.

faust's views look a key up in the partition that its hash falls to, but segments are in the partition of their
source: they end in an error. Shown here is what this worker owns, as of the last checkpoint; `/kpi/segments` shows
a partition wherever it is.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from aiohttp import web

from kpi_app.core import segment as segments
from kpi_app.core.aggregates import Measure
from kpi_app.core.ledger import META_KEY, Ledger, Meta
from kpi_app.core.segment import Head, SegmentKey
from kpi_app.core.windows import utc, utc_us
from kpi_app.web import query
from kpi_app.web.answers import NotHere, json
from kpi_app.web.needs import Owned, Partition

#: Segments that one answer may hold, and that it holds unless told otherwise.
MOST_SEGMENTS = 1_000
SEGMENTS = 100

_BOOKS = META_KEY.decode()


class Described(NamedTuple):
    """A table's name, and what it holds, as faust lists it."""

    name: str
    help: str


class Tables:
    """Answers with what is in the table. `listed()`: the tables that there are; all hold segments."""

    def __init__(self, owned: Owned, measures: Sequence[Measure], listed: Callable[[], Sequence[Described]]) -> None:
        self._owned = owned
        self._measures = measures
        self._listed = listed

    async def tables(self, _: web.Request) -> web.Response:
        """Every table, by name."""
        return json([table._asdict() for table in self._listed()])

    async def table(self, request: web.Request) -> web.Response:
        """A table's owned partitions, and the latest segments in them, newest window first."""
        table = self._found(request)
        limit = query.whole(query.only(request, ("limit",)), "limit", SEGMENTS, MOST_SEGMENTS)
        latest = heapq.nlargest(limit, self._live())
        return json(
            {
                **table._asdict(),
                "partitions": self._all_books(),
                "segments": [entry(key, live, number) for key, number, live in latest],
                "more": sum(len(partition.state.live) for partition in self._owned.partitions.values()) > limit,
            }
        )

    async def key(self, request: web.Request) -> web.Response:
        """What each owned partition holds under one key: `<window start>/<part>`, or `meta` for the books."""
        self._found(request)
        query.only(request, ())
        key = request.match_info["key"]
        found = self._all_books() if key == _BOOKS else self._segment(key)
        if not found:
            raise NotHere(
                "no such key in the partitions that this worker owns; "
                f"a key is <window start in epoch seconds>/<part>, or {_BOOKS}"
            )
        return json({"key": key, "partitions": found})

    def _found(self, request: web.Request) -> Described:
        for table in self._listed():
            if table.name == request.match_info["name"]:
                return table
        raise NotHere("unknown table; /table/ lists those that there are")

    def _live(self) -> Iterator[tuple[SegmentKey, int, Head]]:
        for number, partition in self._owned.partitions.items():
            for key, live in partition.state.live.items():
                yield key, number, live

    def _all_books(self) -> Mapping[str, Any]:
        return {str(n): books(p.state.committed) for n, p in sorted(self._owned.partitions.items())}

    def _segment(self, text: str) -> Mapping[str, Any]:
        try:
            key = SegmentKey.decode(text.encode())
        except ValueError:  # of UnicodeEncodeError, too: a path may hold any bytes
            return {}
        return {
            str(number): entry(key, partition.state.live[key], number) | self._values(partition, key)
            for number, partition in sorted(self._owned.partitions.items())
            if key in partition.state.live
        }

    def _values(self, partition: Partition, key: SegmentKey) -> dict[str, Any]:
        data = partition.table.load(key)
        try:
            values = segments.decode(data, self._measures).values
        except ValueError as unreadable:
            return {"bytes": len(data), "unreadable": str(unreadable)}
        shown = {m.name: m.aggregate.dump(values[m.name]) for m in self._measures}
        return {"bytes": len(data), "values": shown}


def books(meta: Meta | None) -> dict[str, Any]:
    """A partition's books for people, empty ones before its first checkpoint."""
    ledger = meta.ledger if meta else Ledger()
    shown = asdict(ledger)
    for name in ("watermark", "passed"):
        time_us = shown.pop(f"{name}_us")
        shown[name] = None if time_us is None else utc_us(time_us)
    return shown | {"flushed": meta.flushed if meta else -1}


def entry(key: SegmentKey, live: Head, partition: int) -> dict[str, Any]:
    """A segment for people."""
    return {
        "key": key.encode().decode(),
        "partition": partition,
        "window_start": utc(key.window_start_s),
        "part": key.part,
        "offset": live.offset,
        "requests": live.requests,
    }
