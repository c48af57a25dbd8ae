"""Settings that lead the commands to the run's Kafka and Postgres, each test with a topic and database of its own."""

from pathlib import Path

import pytest

from kpi_app.local.ports import free_port
from kpi_app.sinks.migrate import migrate
from tests.conftest import Kafka, MakeTopic


@pytest.fixture
async def settings(kafka: Kafka, topic: MakeTopic, database: str, tmp_path: Path) -> dict[str, str]:
    """A migrated database and a topic with one partition."""
    await migrate(database)
    return {
        "KPI_BROKERS": kafka.bootstrap,
        "KPI_DATABASE_URL": database,
        "KPI_TOPIC": await topic(1, name="cli"),
        "KPI_DATA_DIR": str(tmp_path / "data"),
        "KPI_WEB_PORT": str(free_port()),
        "KPI_IDLE_AFTER": "1s",
    }
