"""The table of a partition, on a real database."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rocksdict import Options, Rdict

from kpi_app.core.ledger import META_KEY, Meta
from kpi_app.core.seen import File, SeenFile, table_key
from kpi_app.core.segment import SegmentKey
from kpi_app.stream.table import TablePartition


class Database:
    """Counts what is read of it in passing."""

    def __init__(self, db: Rdict) -> None:
        self.db = db
        self.passed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)

    def items(self, **options: Any) -> Iterator[tuple[Any, Any]]:
        for item in self.db.items(**options):
            self.passed += 1
            yield item


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    db = Rdict(str(tmp_path / "0.db"), options=Options(raw_mode=True))
    yield Database(db)
    db.close()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_files_are_read_without_the_segments(database: Database, count: int) -> None:
    """A state of a month has tens of thousands of these, and the loop waits meanwhile."""
    store = SimpleNamespace(offset_key=b"__faust\0offset__", _db_for_partition=lambda _: database, _dbs={})
    table = TablePartition(store, 0)
    files = [SeenFile(File(bytes([n] * 16), "web-1", "/var/log", f"{n}.log"), 7, 0, 100) for n in range(count)]
    keys = [SegmentKey(1_700_000_040 + 60 * n, n % 2) for n in range(50)]
    records = [(key.encode(), b"segment") for key in keys]
    records += [(table_key(file.file.key), file.encode()) for file in files]
    records += [(META_KEY, Meta().encode()), (b"sfx/", b"none of ours"), (b"see", b"none of ours")]
    table.write(records, 12)
    assert list(table.files()) == files
    assert database.passed == count + 1, "the one behind them was looked at"
