"""Take-over instead of faust's recovery.

faust reads changelogs message by message, swallows what goes wrong, and waits for the last offset, which after a
transaction is a marker that never comes. Its rebalance signals and its way back to a running flow are kept.
"""

import asyncio

from aiokafka.errors import IllegalStateError
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP
from mode import Service

from kpi_app.stream.bend.stop import stop_worker


class TakeOver(Recovery):
    """After each rebalance: load the state, seek to it, then let records flow."""

    @Service.task
    async def _restart_recovery(self) -> None:
        while not await self.wait_for_stopped(self.signal_recovery_start):
            self.signal_recovery_start.clear()
            try:
                await self._take_over(self._generation_id)
            except (RebalanceAgain, IllegalStateError):
                continue  # partitions went while we resumed: the next rebalance has signalled, or is about to
            except ServiceStopped:
                return
            except Exception as error:
                stop_worker("cannot resume after a rebalance", error)  # faust would stay, and do nothing for ever

    async def _take_over(self, generation: int) -> None:
        app, consumer = self.app, self.app.consumer
        self._set_recovery_started()
        source = {tp for tp in consumer.assignment() if tp.topic == app.owner.source_topic}
        offsets: dict[TP, int] = {}
        await self._wait(self._load(source, offsets))
        if app.consumer_generation_id != generation or len(offsets) < len(source):
            return  # the next rebalance has signalled already
        await app.on_rebalance_complete.send()
        self._set_recovery_ended()
        consumer.resume_partitions(source)
        # Resuming the flow clears the streams' queues, so it comes before the first record may be delivered.
        app.flow_control.resume()
        await self._wait(consumer.seek_to(offsets))
        self.completed.set()
        consumer.resume_flow()
        await app._fetcher.maybe_start()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()
        self.log.info("Worker ready")

    async def _load(self, source: set[TP], offsets: dict[TP, int]) -> None:
        """Fill `offsets`; any failure ends the worker, since faust would go on with an empty state."""
        try:
            loaded = await self.app.owner.take_over({tp.partition for tp in source})
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            stop_worker(f"cannot take over partitions {sorted(tp.partition for tp in source)}", error)
        if loaded is not None:
            offsets.update({tp: loaded[tp.partition] for tp in source})


class Tables(TableManager):
    """faust's table manager with `TakeOver` for its recovery."""

    _recovery: TakeOver | None = None

    @property
    def recovery(self) -> TakeOver:
        """The recovery service, made when first asked for."""
        if self._recovery is None:
            self._recovery = TakeOver(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_start(self) -> None:
        """Start at once: faust waits a second here for its recovery's sake."""
        await self._update_channels()
        await self.recovery.start()
