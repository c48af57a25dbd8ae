"""The pages of a real worker, on a real Kafka and a real Postgres."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kpi_app.local.ports import free_port
from kpi_app.sinks.migrate import migrate
from tests.conftest import Kafka, MakeTopic
from tests.web.running import Asked, Gate, running_worker, send
from tests.web.worker import T0, line


async def test_what_was_sent_can_be_seen(kafka: Kafka, database: str, topic: MakeTopic, tmp_path: Path) -> None:
    """Rows, metrics and the table's segments agree with the lines that were sent."""
    await migrate(database)
    name = await topic(partitions=3)
    # [0----60)[60---120)[120---180)[180---240)   grace 60: in partition 2 the line at 2 comes after 200, late
    lines = {0: [line(0), line(1), line(60)], 1: [line(61), b"junk"], 2: [line(0), line(200), line(2)]}
    rows = {"2023-11-14T22:14:00Z": 4, "2023-11-14T22:15:00Z": 2, "2023-11-14T22:17:00Z": 1}
    await send(kafka.bootstrap, name, lines)
    async with running_worker(kafka.bootstrap, database, name, tmp_path, free_port()) as worker:
        ready = json.loads((await worker.ready()).body)
        assert ready == {"ready": True, "missing": {}, "partitions": [0, 1, 2]}

        await worker.until("/kpi/windows", counts(rows))
        await worker.until("/metrics", shows('kpi_lines_total{partition="0"}', 3))
        await worker.until("/metrics", shows('kpi_lag_records{partition="0"}', 0))
        samples = values(await worker.until("/metrics", shows('kpi_lag_records{partition="1"}', 0)))
        assert samples['kpi_rejected_total{partition="1"}'] == 1
        assert samples['kpi_dead_letters_total{reason="format"}'] == 1
        assert samples['kpi_watermark_timestamp_seconds{partition="1"}'] == T0 + 61
        assert samples["kpi_late_total"] == 1
        assert samples["kpi_partitions_owned"] == 3
        assert samples["kpi_checkpoint_seconds_count"] >= 3
        assert samples["kpi_flush_seconds_count"] >= 3
        assert samples["kpi_merge_seconds_count"] >= 1

        table = json.loads((await worker.until("/table/segments/", lambda _: True)).body)
        held = [segment["requests"] for segment in table["segments"] if segment["partition"] < 2]
        assert sum(held) == 4  # partition 2 has passed its first window: what was flushed of it is dropped
        key = json.loads((await worker.until(f"/table/segments/{T0 + 60}/0/", lambda _: True)).body)
        assert [held["values"]["requests"] for held in key["partitions"].values()] == [1, 1]
    assert worker.process.returncode == 0, worker.log.read_text()[-3_000:]


async def test_readiness_follows_postgres(kafka: Kafka, database: str, topic: MakeTopic, tmp_path: Path) -> None:
    """503 while Postgres is away, though the worker lives and folds on; 200 once it is back."""
    await migrate(database)
    name = await topic(partitions=1)
    gate = Gate(database)
    await gate.open()
    async with running_worker(kafka.bootstrap, gate.dsn, name, tmp_path, free_port()) as worker:
        await worker.ready()
        await gate.shut()
        away = await worker.until("/readyz", lambda answer: answer.status == 503)
        assert list(json.loads(away.body)["missing"]) == ["postgres"]
        password = urlsplit(database).password
        assert password is None or password.encode() not in away.body
        rows = await worker.until("/kpi/windows", lambda _: True)
        assert (rows.status, rows.headers["Retry-After"]) == (503, "5")

        await send(kafka.bootstrap, name, {0: [line(0)]})
        await worker.until("/metrics", shows('kpi_unflushed_records{partition="0"}', 1))
        await worker.until("/metrics", lambda it: values(it).get('kpi_sink_busy_total{step="flush"}', 0) > 0)

        await gate.open()
        await worker.ready()
        await worker.until("/kpi/windows", counts({"2023-11-14T22:14:00Z": 1}))
        await worker.until("/metrics", shows('kpi_unflushed_records{partition="0"}', 0))
    await gate.shut()


@pytest.mark.parametrize("by", ["setting", "option"])
async def test_a_worker_listens_on_loopback_at_its_port_only(
    kafka: Kafka, database: str, topic: MakeTopic, tmp_path: Path, by: str
) -> None:
    """`KPI_WEB_PORT`, or faust's `--web-port`, which then names the worker's part of the data, too."""
    await migrate(database)
    name = await topic(partitions=1)
    setting, port = free_port(), free_port()
    arguments = (port,) if by == "setting" else (setting, "--web-port", str(port))
    url = f"http://127.0.0.1:{port}"
    async with running_worker(kafka.bootstrap, database, name, tmp_path, *arguments, url=url) as worker:
        await worker.ready()
        assert await worker.get("/livez", f"http://127.0.0.1:{setting}") is None
        # Of 127.0.0.0/8, all of which is loopback on Linux, a server on every address would answer here.
        assert await worker.get("/livez", f"http://127.0.0.2:{port}") is None
        assert [path.name for path in (tmp_path / "data").iterdir()] == [f"worker-{port}"]


def counts(requests: dict[str, int]) -> Callable[[Asked], bool]:
    """Whether there are exactly these rows: requests by the start of their windows."""
    return lambda answer: (
        answer.status == 200
        and {row["window_start"]: row["requests"] for row in json.loads(answer.body)["windows"]} == requests
    )


def shows(sample: str, value: float) -> Callable[[Asked], bool]:
    """Whether metrics have a sample of that value."""
    return lambda answer: values(answer).get(sample) == value


def values(answer: Asked) -> dict[str, float]:
    """The samples of `/metrics`, as they are written there."""
    samples = [line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in samples}
