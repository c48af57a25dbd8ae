"""The faust app with its bent parts in place."""

from typing import Any

import faust
from faust.serializers.schemas import Schema
from faust.types import TransportT

from kpi_app.errors import UserError
from kpi_app.stream.bend.consumer import BatchTransport
from kpi_app.stream.bend.owner import Owner
from kpi_app.stream.bend.recovery import Tables
from kpi_app.stream.bend.stop import refuse_start
from kpi_app.stream.bend.worker import BentWorker

#: What the design relies on, whatever the user's settings say.
FIXED: dict[str, Any] = {
    "TableManager": Tables,
    "Worker": BentWorker,
    "topic_allow_declare": False,  # topics are made before the start, with the settings that we need
    "topic_disable_leader": True,
    "table_standby_replicas": 0,
    "recovery_consistency_check": False,  # the take-over checks
    "stream_recovery_delay": 0.0,
    "stream_wait_empty": False,  # nothing is acknowledged message by message
    "agent_supervisor": "mode.CrashingSupervisor",  # faust would restart an agent that raised, without its batch
    "consumer_auto_offset_reset": "earliest",
}


class BatchSchema(Schema):
    """Values are batches already: nothing to deserialise."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:
        """No key: a batch has many."""

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        """The batch itself."""
        return message.value


class BentApp(faust.App):
    """A faust app whose source is fetched in batches and whose state belongs to `owner`."""

    def __init__(self, name: str, *, owner: Owner, **options: Any) -> None:
        self.owner = owner
        #: Whether the state is saved and given up for good.
        self.finished = False
        super().__init__(name, **FIXED, **options)

    def _new_transport(self) -> TransportT:
        return BatchTransport(self.conf.broker_consumer, self)

    async def on_first_start(self) -> None:
        """Check and prepare what the worker needs; what the user can mend ends the start in one line."""
        try:
            await self.owner.prepare()
        except UserError as error:
            refuse_start(error)
        await super().on_first_start()

    async def _stop_consumer(self) -> None:
        """Checkpoint while the table is still open: faust closes it before it commits."""
        if self._consumer is not None:
            self._consumer.stop_flow()
        await self.owner.finish()
        self.finished = True
        await super()._stop_consumer()
