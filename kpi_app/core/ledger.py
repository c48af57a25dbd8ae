"""The books of one source partition: what was read, and what became of each line of it."""

from dataclasses import asdict, dataclass

import orjson

#: Where the table and its changelog hold a partition's books; no segment's key looks like it.
META_KEY = b"meta"

#: First byte of encoded books: a version that does not know it leaves them alone.
FORMAT = 2

#: The format before it, of which `dropped`, `topic_id` and `overtaken` may be missing.
_BEFORE = 1


@dataclass(frozen=True)
class Ledger:
    """Counters over all offsets below `next_offset`; lines = counted + rejected + late_dropped + duplicates."""

    next_offset: int = 0
    lines: int = 0
    counted: int = 0
    rejected: int = 0
    late_dropped: int = 0
    duplicates: int = 0
    #: Offsets that were removed from the topic before they were read.
    lost_offsets: int = 0
    #: Greatest event time of the accepted lines, microseconds since the epoch; None before the first.
    watermark_us: int | None = None
    #: Windows that end at or before it are late for ever, microseconds; None before the first event.
    passed_us: int | None = None


@dataclass(frozen=True)
class Meta:
    """What a checkpoint says of its partition: the books, and how far the sink is known to have them."""

    ledger: Ledger = Ledger()
    #: Greatest offset that the sink holds; segments up to it may be dropped once sealed.
    flushed: int = -1
    #: Made at random with the partition's first checkpoint: tells this changelog from another of the same name.
    birth: str = ""
    #: Greatest offset of a segment that was dropped: what the sink lacks from there on is all in the state.
    dropped: int = -1
    #: Of the raw topic that was counted; empty where it has none, and in books of before it was kept.
    topic_id: str = ""
    #: What the sink held when that was more than these books: they were set back, and are not to be continued.
    overtaken: int = -1

    @property
    def offset(self) -> int:
        """The offset of the checkpoint: the last one that it covers, -1 for none."""
        return self.ledger.next_offset - 1

    def encode(self) -> bytes:
        """A format byte, then JSON."""
        return bytes([FORMAT]) + orjson.dumps(asdict(self))

    @classmethod
    def decode(cls, data: bytes) -> "Meta":
        """What `encode` made. Raises `ValueError` when it is of a later version."""
        if data[0] not in (_BEFORE, FORMAT):
            raise ValueError(f"ledger format {data[0]} is newer than this version of kpi_app reads ({FORMAT})")
        body = orjson.loads(data[1:])
        flushed = body["flushed"]
        dropped = body.get("dropped", flushed)  # books of before it was kept: any of them may have been dropped
        rest = {name: body[name] for name in ("topic_id", "overtaken") if name in body}
        return cls(Ledger(**body["ledger"]), flushed, body["birth"], dropped, **rest)
