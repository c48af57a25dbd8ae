"""The books as the table and its changelog hold them, from one version of kpi_app to the next."""

import orjson
import pytest

from kpi_app.core.ledger import Ledger, Meta


def test_books_are_what_they_were() -> None:
    """Every field of them."""
    meta = Meta(Ledger(7, 6, 3, 1, 1, 1, 1, 5, 4), 3, "birth", 2, "id", 9)
    assert Meta.decode(meta.encode()) == meta


def test_an_older_version_leaves_these_books_alone() -> None:
    """It read format 1 alone; it would go on with books that are not to be continued, and forget the topic's id."""
    assert Meta(overtaken=9, topic_id="id").encode()[0] == 2


@pytest.mark.parametrize(
    ("more", "meta"),
    [
        ({}, Meta(Ledger(7), 3, "birth", dropped=3)),
        (
            {"dropped": 2, "topic_id": "id", "overtaken": 9},
            Meta(Ledger(7), 3, "birth", dropped=2, topic_id="id", overtaken=9),
        ),
    ],
)
def test_books_of_the_format_before_are_read(more: dict[str, object], meta: Meta) -> None:
    """As they were released, and as they were before this format had a number of its own."""
    body = {"ledger": {"next_offset": 7}, "flushed": 3, "birth": "birth"} | more
    assert Meta.decode(b"\x01" + orjson.dumps(body)) == meta


def test_books_of_a_later_version_are_left_alone() -> None:
    """What they mean is not known."""
    with pytest.raises(ValueError, match="ledger format 3 is newer"):
        Meta.decode(b"\x03{}")
