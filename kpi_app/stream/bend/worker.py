"""The worker's process: what it logs, and that it ends when it is told to, in order if that takes but seconds.

faust alone may hang on its way out for as long as a broker is away or a rebalance lasts, and a signal during its
start stops what has not begun yet. An end at any moment is safe (see `stop_worker`), so here time is the limit.
"""

import logging
import signal
import threading
from typing import NoReturn

import faust.worker

from kpi_app.stream.bend.calm import Calm
from kpi_app.stream.bend.stop import end, log, stop_worker

#: From the signal to the end of the process; who asked for it should not need SIGKILL.
STOP_LIMIT_S = 7.0


class BentWorker(faust.worker.Worker):
    """faust's worker with a limit to how long it takes to stop."""

    mundane_level = "debug"  # "Starting..." before a refused start would hide its one line
    _ready = False

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """Calm down every handler that faust has set up."""
        super().on_setup_root_logger(logger, level)
        calm = Calm()
        for handler in logger.handlers:
            handler.addFilter(calm)

    async def on_startup_finished(self) -> None:
        """Take note that there is state to save now."""
        self._ready = True
        await super().on_startup_finished()

    def _on_sigint(self) -> None:
        if self._signal_stop_time:  # Ctrl-C once more: at once
            end(128 + signal.SIGINT)
        self._flag_as_shutdown_by_signal()
        self._schedule_shutdown(signal.SIGINT)

    def _schedule_shutdown(self, number: signal.Signals) -> None:
        if not self._ready:
            end(0)  # nothing was folded yet
        if not self._signal_stop_time:
            limit = threading.Timer(STOP_LIMIT_S, self._cut_off)
            limit.daemon = True
            limit.start()
        super()._schedule_shutdown(number)

    def _cut_off(self) -> NoReturn:
        if self.app.finished:
            log.warning("left without a word to the group, which is rebalancing or away; everything is saved")
            end(0)
        stop_worker(f"its last checkpoint and flush took more than {STOP_LIMIT_S:g} s")
