"""Segments of any partition: of this worker, of its owner, of Postgres."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kpi_app.web.segments import FORWARDED
from tests.web.conftest import Site
from tests.web.worker import Partition, line

STORED = [{"window_start": "2026-01-31T08:00:00Z", "part": 0, "offset": 5, "requests": 3}]


@asynccontextmanager
async def owner(answer: web.StreamResponse, asked: list[web.Request]) -> AsyncIterator[str]:
    """Another worker that answers with this, whatever it is asked."""

    async def answered(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        return answer

    served = web.Application()
    served.router.add_get("/{path:.*}", answered)
    async with TestServer(served) as server:
        yield str(server.make_url("/"))


async def test_an_owned_partition_is_answered_from_the_state(site: Site) -> None:
    """As of the last checkpoint, newest window first."""
    site.owned.partitions[3] = Partition().read(line(0), line(1), line(60)).checkpoint()
    told = await site.json("/kpi/segments?partition=3&limit=1")
    assert (told["source"], told["owner"], told["books"]["lines"], told["more"]) == ("worker", site.group.url, 3, True)
    assert [segment["requests"] for segment in told["segments"]] == [1]


async def test_another_ones_partition_is_asked_of_its_owner(site: Site) -> None:
    """Once, with the asker's credentials and nothing else of the request."""
    asked: list[web.Request] = []
    body = {"partition": 3, "source": "worker", "segments": ["theirs"]}
    async with owner(web.json_response(body), asked) as url:
        site.group.told = {site.group.url: [0], url: [3]}
        headers = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Evil": "1"}
        assert await site.json("/kpi/segments?partition=3&limit=7", headers=headers) == body
    [request] = asked
    assert request.path_qs == "/kpi/segments?partition=3&limit=7"
    assert request.headers[FORWARDED] == "1"
    assert request.headers["Authorization"] == "Bearer x"
    assert not {"Cookie", "X-Evil"} & set(request.headers)
    assert site.reader.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=404),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        web.Response(text="<html>"),
        web.json_response({"partition": 4}),
        web.json_response([]),
    ],
    ids=["not found", "elsewhere", "no JSON", "another partition", "no object"],
)
async def test_an_owner_that_does_not_answer_as_one_is_passed_over(site: Site, answer: web.Response) -> None:
    """Then Postgres has it."""
    site.reader.rows, site.reader.books = STORED, [{"partition": 3, "lines": 9}]
    async with owner(answer, []) as url:
        site.group.told = {url: [3]}
        told = await site.json("/kpi/segments?partition=3")
    assert (told["source"], told["owner"], told["books"]["lines"]) == ("postgres", url, 9)
    assert told["segments"] == STORED


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "gopher://127.0.0.1/", "", "http://["])
async def test_an_owner_that_can_not_be_reached_is_passed_over(site: Site, url: str) -> None:
    """Whatever stands in the group's metadata."""
    site.reader.rows = STORED
    site.group.told = {url: [3]}
    assert (await site.json("/kpi/segments?partition=3"))["source"] == "postgres"


async def test_nobodys_partition_is_read_from_postgres(site: Site) -> None:
    """And the answer says that nobody has it; so, too, what the router still has us down for."""
    site.reader.rows = STORED
    told = await site.json("/kpi/segments?partition=3")
    assert (told["source"], told["owner"], told["segments"]) == ("postgres", None, STORED)
    site.group.told = {site.group.url: [3]}
    assert (await site.json("/kpi/segments?partition=3"))["source"] == "postgres"


async def test_nobody_is_asked_twice(site: Site) -> None:
    """Two workers that take each other for the owner do not go round in circles."""
    asked: list[web.Request] = []
    async with owner(web.json_response({"partition": 3}), asked) as url:
        site.group.told = {url: [3]}
        assert (await site.get("/kpi/segments?partition=3", headers={FORWARDED: "1"})).status == 404
    assert asked == []


@pytest.mark.parametrize("value", ["", "8", "-1", "1.5", "٣", "9" * 500, "<script>", "0/../1"])
async def test_partitions_that_there_are_not_are_refused(site: Site, value: str) -> None:
    """400, whatever it says, and nobody is asked."""
    answer = await site.get("/kpi/segments", params={"partition": value})
    body: dict[str, Any] = await answer.json()
    assert (answer.status, body) == (400, {"error": "partition is a whole number from 0 to 7"})
    assert site.reader.asked == []
