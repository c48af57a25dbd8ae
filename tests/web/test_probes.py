"""Probes: alive, ready, and metrics."""

import asyncio

import pytest

from kpi_app.errors import SinkBusy, SinkRefused
from kpi_app.web import probes
from tests.web.conftest import Site
from tests.web.worker import Partition


async def test_livez_asks_nobody(site: Site) -> None:
    """A worker without partitions and without Postgres is alive."""
    site.owned.assigned = None
    site.reader.error = SinkBusy("away")
    answer = await site.get("/livez")
    assert answer.status == 200
    assert await answer.json() == {"alive": True}


async def test_ready_with_partitions_and_postgres(site: Site) -> None:
    """200 when all that was assigned is taken over and Postgres answers."""
    site.owned.assigned = frozenset({0, 3})
    site.owned.partitions = {3: Partition(), 0: Partition()}
    answer = await site.get("/readyz")
    assert answer.status == 200
    assert await answer.json() == {"ready": True, "missing": {}, "partitions": [0, 3]}


async def test_ready_with_nothing_to_do(site: Site) -> None:
    """With more workers than partitions some have none; they are ready to take over."""
    site.owned.assigned = frozenset()
    assert (await site.get("/readyz")).status == 200


async def test_not_ready_before_the_group_has_spoken(site: Site) -> None:
    """Before the first assignment and during a rebalance the worker has no partitions."""
    site.owned.assigned = None
    answer = await site.get("/readyz")
    assert answer.status == 503
    assert list((await answer.json())["missing"]) == ["assigned"]


async def test_not_ready_before_the_state_is_loaded(site: Site) -> None:
    """Those partitions that are still to be taken over are named."""
    site.owned.assigned = frozenset({0, 1, 2})
    site.owned.partitions = {1: Partition()}
    answer = await site.get("/readyz")
    assert answer.status == 503
    told = await answer.json()
    assert told["missing"] == {"taken_over": "the state of partitions [0, 2] is being loaded"}
    assert told["partitions"] == [1]


async def test_not_ready_without_progress(site: Site) -> None:
    """What is waited for in vain is told before the watchdog ends the worker, ahead of what follows from it."""
    site.owned.assigned = None
    site.owned.stalled = "Kafka (kafka:9092) has not answered for 61 s"
    answer = await site.get("/readyz")
    assert answer.status == 503
    missing = (await answer.json())["missing"]
    assert list(missing) == ["progress", "assigned"]
    assert missing["progress"] == site.owned.stalled


@pytest.mark.parametrize("error", [SinkBusy("Postgres is away"), SinkRefused("tables are missing: run `kpi migrate`")])
async def test_not_ready_without_postgres(site: Site, error: Exception) -> None:
    """What keeps Postgres away is told as it would be in the log, without a secret."""
    site.reader.error = error
    answer = await site.get("/readyz")
    assert answer.status == 503
    assert (await answer.json())["missing"] == {"postgres": str(error)}


async def test_readyz_does_not_wait_for_a_postgres_that_hangs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer comes in time, and one ping is under way however many ask."""
    pings = 0
    release = asyncio.Event()

    async def hang() -> None:
        nonlocal pings
        pings += 1
        await release.wait()

    monkeypatch.setattr(probes, "PING_S", 0.05)
    monkeypatch.setattr(site.reader, "ping", hang)
    answers = await asyncio.gather(*(site.get("/readyz") for _ in range(5)))
    assert [answer.status for answer in answers] == [503] * 5
    assert (await answers[0].json())["missing"] == {"postgres": "no answer within 0.05 s"}
    assert pings == 1
    release.set()
    assert (await site.get("/readyz")).status == 200


async def test_a_ping_that_fails_unheard_is_no_noise(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asyncio does not report an error that came after everybody had left (warnings are errors here)."""
    release = asyncio.Event()

    async def fail_late() -> None:
        await release.wait()
        raise SinkBusy("away")

    monkeypatch.setattr(probes, "PING_S", 0.01)
    monkeypatch.setattr(site.reader, "ping", fail_late)
    assert (await site.get("/readyz")).status == 503
    release.set()
    monkeypatch.undo()
    assert (await site.get("/readyz")).status == 200


async def test_metrics_are_what_prometheus_reads(site: Site) -> None:
    """Plain text by default, OpenMetrics for those who prefer it."""
    answer = await site.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nkpi_partitions 8.0\n" in await answer.text()
    answer = await site.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.content_type == "application/openmetrics-text"
    assert (await answer.text()).endswith("# EOF\n")


async def test_the_reader_is_closed_with_the_web_server(site: Site) -> None:
    """Its connections don't outlive the pages."""
    await site.client.close()
    assert site.reader.closed
