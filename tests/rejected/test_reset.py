"""`kpi reset` while lines are sent through again: the old replay does not go on, and nothing of it counts."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr

from kpi_app.errors import UserError
from kpi_app.rejected.outcome import Fate
from kpi_app.reset import forget
from kpi_app.sinks.migrate import migrate
from tests.conftest import create_topic
from tests.rejected.conftest import PARTITIONS
from tests.rejected.stage import Stage
from tests.rejected.test_replay import LINES, STEPS, rejected


@pytest.mark.parametrize("step", STEPS)
async def test_a_reset_ends_a_replay(stage: Stage, database: str, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was about; letters that are made anew, at the same offsets, wait for a replay of their own."""
    await migrate(database)
    await rejected(stage)
    go_on = asyncio.Event()
    old = await stage.held_replay(step, go_on, monkeypatch)
    await forget(stage.settings.model_copy(update={"database_url": SecretStr(database)}))
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.settings.brokers)
    await admin.start()
    try:
        await create_topic(admin, stage.names.rejected, PARTITIONS)
    finally:
        await admin.close()
    go_on.set()
    with pytest.raises(UserError, match="or Kafka ended this one's transaction"):
        await old
    assert not await stage.copies()
    await stage.work("combined", birth="b2")
    assert (await stage.replay()).total(Fate.SENT) == len(LINES)
