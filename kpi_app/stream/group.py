"""The workers together: who has which partition, and where each partition ends."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from faust.types import TP

#: Asks the broker where partitions end.
Ends = Callable[[set[TP]], Awaitable[Mapping[TP, int]]]


class Group:
    """What one worker knows of the others. `count()`: the partitions of `source`, the raw topic."""

    def __init__(self, app: Any, table: str, source: str, count: Callable[[], int], ends: Ends) -> None:
        self._app = app
        self._table = table
        self._source = source
        self._count = count
        self._ends = ends

    @property
    def url(self) -> str:
        """Where the others find this one's pages."""
        return str(self._app.conf.canonical_url)

    def workers(self) -> Mapping[str, Sequence[int]]:
        """The partitions of each worker, by the address of its pages, as of the last assignment.

        The group's leader tells every member with it, by the partitions of the changelog: they are those of the source.
        """
        told = self._app.router.table_metadata(self._table)
        return {str(url): sorted({n for some in topics.values() for n in some}) for url, topics in sorted(told.items())}

    async def ends(self) -> Mapping[int, int]:
        """The end of each partition of the raw topic. Raises whatever the client of Kafka does."""
        ends = await self._ends({TP(self._source, number) for number in range(self._count())})
        return {tp.partition: end for tp, end in ends.items()}
