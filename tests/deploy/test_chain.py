"""The chain as compose.yaml wires it, without its containers: its broker, its database and its roles, and a worker."""

import json
from pathlib import Path

import pytest
import yaml

from kpi_app.local.kafka import EmbeddedKafka
from kpi_app.local.ports import free_port
from tests.deploy.conftest import DEPLOY, Deployed, with_password
from tests.deploy.filled import line
from tests.web.running import running_worker, send

KAFKA = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["kafka"]["environment"]


class ComposedKafka(EmbeddedKafka):
    """A broker with the settings of compose.yaml, of which only addresses and directory are this machine's."""

    def _write_properties(self, data: Path) -> None:
        theirs = {
            "kafka:9093": f"127.0.0.1:{free_port()}",
            "kafka:9092": f"127.0.0.1:{self._port or free_port()}",
            KAFKA["KAFKA_LOG_DIRS"]: str(data),
        }
        # as the image does it: KAFKA_LOG_DIRS is log.dirs
        settings = {
            name.removeprefix("KAFKA_").lower().replace("_", "."): value
            for name, value in KAFKA.items()
            if name != "KAFKA_HEAP_OPTS"
        }
        for name, value in settings.items():
            for other, ours in theirs.items():
                value = value.replace(other, ours)
            settings[name] = value
        clients, controller = settings["advertised.listeners"], settings["controller.quorum.voters"].partition("@")[2]
        settings["listeners"] = f"{clients},CONTROLLER://{controller}"
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


@pytest.fixture
def composed_kafka(tmp_path_factory: pytest.TempPathFactory) -> ComposedKafka:
    """A running one."""
    with ComposedKafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


async def test_lines_become_rows_that_readers_read(
    composed_kafka: ComposedKafka, deployed: Deployed, tmp_path: Path
) -> None:
    """A real worker, as kpi_writer, on the broker's settings: it makes its topics, counts, and nothing is lost."""
    dsn = with_password(deployed.dsn("writer"), "writer")
    lines = [line(number).encode() for number in range(60)]
    async with running_worker(composed_kafka.bootstrap, dsn, "access-log", tmp_path, free_port()) as worker:
        await worker.ready()
        await send(composed_kafka.bootstrap, "access-log", {0: lines, 7: [*lines, b"no line at all"]})
        await worker.until(
            "/kpi/windows?size=60",
            lambda answer: sum(row["requests"] for row in json.loads(answer.body).get("windows", [])) == 120,
        )
        reader = await deployed.connect("reader")
        assert await reader.fetchval("SELECT sum(rejected) FROM ingest_ledger") == 1
        assert await reader.fetch("SELECT * FROM conservation WHERE difference <> 0 AND partition IS NOT NULL") == []
        await reader.close()
    assert worker.process.returncode == 0, worker.log.read_text()[-3_000:]
