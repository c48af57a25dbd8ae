"""One partition of the faust table, as a RocksDB database.

faust would write it value by value, each with its own changelog record. A checkpoint here is one write batch,
which also holds how far of the changelog the database has: RocksDB applies all of it or nothing.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from rocksdict import Rdict, WriteBatch

from kpi_app.core.ledger import META_KEY, Meta
from kpi_app.core.seen import PREFIX, SeenFile
from kpi_app.core.segment import SegmentKey

#: Memory of each partition's database; faust's defaults allow 192 MiB of memtables and 2 GiB of cache for each.
OPTIONS: dict[str, Any] = {
    "driver": "rocksdict",
    "write_buffer_size": 2 << 20,
    "block_cache_size": 2 << 20,
    "max_open_files": 64,
}


class TablePartition:
    """The database of one partition, under faust's path and names."""

    def __init__(self, store: Any, partition: int) -> None:
        self._store = store
        self._partition = partition
        self._db: Rdict = store._db_for_partition(partition)
        self._position_key: bytes = store.offset_key
        #: Writes, and segments read, so far: moves as long as the table is being brought up to date.
        self.steps = 0

    @property
    def position(self) -> int:
        """The changelog offset up to which (exclusively) this database has everything."""
        stored = self._db.get(self._position_key)
        return 0 if stored is None else int(stored)

    def meta(self) -> Meta | None:
        """The last checkpoint's word on the partition; None before the first."""
        stored = self._db.get(META_KEY)
        return None if stored is None else Meta.decode(stored)

    def segments(self) -> Iterator[tuple[SegmentKey, bytes]]:
        """All segments."""
        for key, value in self._db.items():
            if key not in (META_KEY, self._position_key) and not key.startswith(PREFIX):
                self.steps += 1
                yield SegmentKey.decode(key), value

    def files(self) -> Iterator[SeenFile]:
        """All files that lines are known again of."""
        for key, value in self._db.items(from_key=PREFIX):
            if not key.startswith(PREFIX):
                return
            yield SeenFile.decode(value)

    def load(self, key: SegmentKey) -> bytes:
        """The bytes of a segment that the index says is here."""
        return bytes(self._db[key.encode()])

    def write(self, records: Iterable[tuple[bytes, bytes | None]], position: int) -> None:
        """Apply changelog records (None deletes) and move the position, as one write."""
        batch = WriteBatch(raw_mode=True)
        for key, value in records:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(self._position_key, str(position).encode())
        self._db.write(batch)
        self.steps += 1

    def clear(self) -> None:
        """Forget everything: this database belongs to a changelog that is no more."""
        batch = WriteBatch(raw_mode=True)
        for key, _ in self._db.items():
            batch.delete(key)
        self._db.write(batch)

    def close(self) -> None:
        """Release the database's lock now; faust leaves that to the garbage collector."""
        self._store._dbs.pop(self._partition, None)
        self._db.close()
