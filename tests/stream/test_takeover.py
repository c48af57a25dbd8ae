"""A take-over trusts a local table only if it is of the changelog that is there."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kpi_app.core.ledger import Ledger, Meta
from kpi_app.core.state import PartitionState
from kpi_app.errors import StopWorker
from kpi_app.stream import takeover


class _Table:
    """A table that says of whom it is."""

    def __init__(self, birth: str | None) -> None:
        self.birth = birth
        self.cleared = False

    def meta(self) -> Meta | None:
        return None if self.birth is None else Meta(Ledger(), birth=self.birth)

    def clear(self) -> None:
        self.cleared, self.birth = True, None


@pytest.mark.parametrize(
    ("local", "changelog", "cleared"), [("a", "a", False), ("a", "b", True), (None, "b", False), ("a", None, False)]
)
async def test_a_table_of_another_changelog_is_read_anew(
    local: str | None, changelog: str | None, cleared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk from before a reset, whose position the new changelog has passed, is not continued."""
    reads = []

    async def read(_reader: Any, _changelog: str, tables: dict[int, _Table]) -> None:
        reads.append(set(tables))
        for table in tables.values():
            table.birth = changelog or table.birth

    monkeypatch.setattr(takeover, "_read_to_end", read)
    table = _Table(local)
    await takeover.catch_up(None, "changelog", {0: table})  # type: ignore[arg-type, dict-item]
    assert table.cleared == cleared
    assert len(reads) == 1 + cleared
    assert table.birth == (changelog or local)


@pytest.mark.parametrize(
    ("counted", "found", "stops"), [("a", "a", False), ("a", "b", True), ("", "b", False), ("a", "", False)]
)
def test_a_topic_with_another_id_is_another_topic(counted: str, found: str, stops: bool) -> None:
    """Books from before ids were kept, and brokers that have none, say nothing about it."""
    state = cast(PartitionState, SimpleNamespace(topic_id=counted, ledger=Ledger(next_offset=7)))
    with pytest.raises(StopWorker, match=r"offsets below 7 .* made anew.*kpi reset") if stops else nullcontext():
        takeover.check_id("access-log", 0, state, found)


def test_books_that_were_set_back_are_not_continued() -> None:
    """A take-over finds what the last one's checkpoint has noted."""
    table = cast(Any, SimpleNamespace(meta=lambda: Meta(overtaken=9)))
    with pytest.raises(StopWorker, match=r"access-log/3 was set back.* 9 .*kpi reset"):
        takeover.load_state("access-log", 3, table, cast(Any, None), ())
