"""Records of one partition, by columns.

A record is taken apart as soon as aiokafka has decoded it, and let go. Kept until they are folded, tens of thousands
of them would be as much work again: for the memory, which has each in a place of its own, and for what looks at them.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: Names and values that a producer gave beside.
Headers = Sequence[tuple[str, bytes | None]]


class Record(Protocol):
    """A record as aiokafka decodes it."""

    @property
    def offset(self) -> int:
        """Its offset in the partition."""
        ...

    @property
    def timestamp(self) -> int | None:
        """Its own time, milliseconds; -1 or None where the producer gave none."""
        ...

    @property
    def value(self) -> bytes | None:
        """Its value; None for a tombstone."""
        ...

    @property
    def headers(self) -> Headers:
        """Names and values that its producer gave beside."""
        ...


@dataclass(slots=True)
class Records:
    """Columns of one length, in the order of the offsets, which ascend."""

    offsets: list[int] = field(default_factory=list)
    #: Milliseconds; -1 or None where the producer gave none.
    times: list[int | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    #: By offset, of those that have any.
    headers: dict[int, Headers] = field(default_factory=dict)
    #: Bytes of all values.
    size: int = 0

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Records":
        """What records hold, in their order."""
        taken = cls()
        offsets, times, values, size = taken.offsets, taken.times, taken.values, 0
        for record in records:
            value = record.value
            offsets.append(record.offset)
            times.append(record.timestamp)
            values.append(value)
            if value is not None:
                size += len(value)
            if record.headers:
                taken.headers[record.offset] = record.headers
        taken.size = size
        return taken

    @classmethod
    def joined(cls, parts: Sequence["Records"]) -> "Records":
        """All of them, one after the other."""
        if len(parts) == 1:
            return parts[0]
        joined = cls(size=sum(part.size for part in parts))
        for part in parts:
            joined.offsets += part.offsets
            joined.times += part.times
            joined.values += part.values
            joined.headers |= part.headers
        return joined

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def offset(self) -> int:
        """The last one's. Raises `IndexError` where there is none."""
        return self.offsets[-1]

    def since(self, offset: int) -> "Records":
        """Those at or above an offset."""
        first = bisect_left(self.offsets, offset)
        if not first:
            return self
        values = self.values[first:]
        headers = {at: given for at, given in self.headers.items() if at >= offset}
        return Records(self.offsets[first:], self.times[first:], values, headers, sum(map(len, filter(None, values))))
