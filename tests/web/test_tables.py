"""Table inspection: what this worker owns, readable."""

import pytest
from yarl import URL

from tests.web.conftest import Site
from tests.web.worker import T0, Partition, line


@pytest.fixture
def site_with_segments(site: Site) -> Site:
    # [0----60)[60---120)   partition 0 has both windows, partition 5 the second
    site.owned.partitions = {
        5: Partition().read(line(60), line(61)).checkpoint(),
        0: Partition().read(line(0), line(1), line(60), b"junk").checkpoint(),
    }
    return site


async def test_tables_are_listed_as_faust_lists_them(site: Site) -> None:
    """The shape of faust's own `/table/`."""
    assert await site.json("/table/") == [{"name": "segments", "help": "what it holds"}]


async def test_a_table_shows_its_books_and_its_segments(site_with_segments: Site) -> None:
    """Books by partition, and segments with window, part, offset and requests, newest window first."""
    told = await site_with_segments.json("/table/segments/")
    assert told["name"] == "segments"
    assert list(told["partitions"]) == ["0", "5"]
    assert told["partitions"]["0"] == {
        "next_offset": 4,
        "lines": 4,
        "counted": 3,
        "rejected": 1,
        "late_dropped": 0,
        "duplicates": 0,
        "lost_offsets": 0,
        "watermark": "2023-11-14T22:15:00Z",
        "passed": "2023-11-14T22:14:00Z",
        "flushed": -1,
    }
    assert told["more"] is False
    assert [(s["partition"], s["window_start"], s["requests"]) for s in told["segments"]] == [
        (5, "2023-11-14T22:15:00Z", 2),
        (0, "2023-11-14T22:15:00Z", 1),
        (0, "2023-11-14T22:14:00Z", 2),
    ]
    assert told["segments"][0] == {
        "key": f"{T0 + 60}/0",
        "partition": 5,
        "window_start": "2023-11-14T22:15:00Z",
        "part": 0,
        "offset": 1,
        "requests": 2,
    }


async def test_segments_are_bounded(site_with_segments: Site) -> None:
    """While Postgres is away there may be many: as many as asked for, up to a thousand."""
    told = await site_with_segments.json("/table/segments/?limit=1")
    assert len(told["segments"]) == 1
    assert told["more"] is True
    assert (await site_with_segments.get("/table/segments/?limit=1001")).status == 400


@pytest.mark.parametrize("slash", ["/", "%2F"])
async def test_a_key_shows_what_each_partition_holds_under_it(site_with_segments: Site, slash: str) -> None:
    """The measures as they are in the table; a key's slash may be quoted or not."""
    told = await site_with_segments.json(URL(f"/table/segments/{T0 + 60}{slash}0/", encoded=True))
    assert told["key"] == f"{T0 + 60}/0"
    assert list(told["partitions"]) == ["0", "5"]
    segment = told["partitions"]["5"]
    assert segment["requests"] == segment["values"]["requests"] == 2
    assert segment["values"]["bytes_sent"] == 20
    assert segment["values"]["per_second"] == [[0, 1], [1, 1]]


async def test_meta_shows_the_books(site_with_segments: Site) -> None:
    """The other key of the table."""
    told = await site_with_segments.json("/table/segments/meta/")
    assert [books["lines"] for books in told["partitions"].values()] == [4, 2]


async def test_books_before_the_first_checkpoint_are_empty(site: Site) -> None:
    """What was folded is shown once it is durable."""
    site.owned.partitions = {0: Partition().read(line(0))}
    told = await site.json("/table/segments/")
    assert told["partitions"]["0"]["lines"] == 0
    assert told["partitions"]["0"]["watermark"] is None
    assert told["segments"] == []


async def test_bytes_that_cannot_be_read_are_shown_as_such(site_with_segments: Site) -> None:
    """A segment of a later version is no reason to fail."""
    stored = site_with_segments.owned.partitions[5].stored
    for key in stored:
        stored[key] = b"\x09later"
    told = await site_with_segments.json(f"/table/segments/{T0 + 60}/0/")
    assert told["partitions"]["5"]["bytes"] == 6
    assert "is not one that this version of kpi_app reads" in told["partitions"]["5"]["unreadable"]
    assert told["partitions"]["0"]["values"]["requests"] == 1


@pytest.mark.parametrize(
    "path", ["/table/other/", "/table/other/meta/", "/table/segments/1/0/", f"/table/segments/{T0}/"]
)
async def test_what_is_not_there_is_not_found(site_with_segments: Site, path: str) -> None:
    """Neither a table nor a key."""
    answer = await site_with_segments.get(path)
    assert answer.status == 404
    assert list(await answer.json()) == ["error"]
