"""Overviews: what reaches the reader, and that the same is not made twice."""

import asyncio
from datetime import UTC, datetime

import pytest

from kpi_app.errors import UserError
from tests.web.conftest import Site

START, END = datetime(2026, 1, 31, 8, tzinfo=UTC), datetime(2026, 1, 31, 9, tzinfo=UTC)
PATH = "/kpi/overview?from=2026-01-31T08:00:00Z&to=2026-01-31T09:00:00Z"


async def test_who_asks_for_the_same_gets_the_same(site: Site) -> None:
    """Ten askers, one question."""
    site.reader.rows = [{"requests": 7}]
    answers = await asyncio.gather(*(site.json(PATH) for _ in range(10)))
    assert site.reader.asked == [(START, END)]
    assert all(answer["overview"]["requests"] == 7 for answer in answers)


async def test_a_span_that_is_too_long_is_the_askers_mistake(site: Site) -> None:
    """As with a report."""
    site.reader.error = UserError("too many windows")
    answer = await site.get(PATH)
    assert (answer.status, (await answer.json())["error"]) == (400, "too many windows")


@pytest.mark.parametrize(
    "query", ["", "?from=2026-01-31T08:00:00Z", "?from=x&to=y", "?from=2026-01-31T08:00:00Z&by=path"]
)
async def test_a_span_has_two_ends(site: Site, query: str) -> None:
    """400 and one line."""
    assert (await site.get(f"/kpi/overview{query}")).status == 400
