"""The loud end of a worker."""

import logging
import os
import sys
from typing import NoReturn

from kpi_app.errors import UserError

#: Exit code of a worker that ended itself because going on was not safe (EX_SOFTWARE of sysexits.h).
EXIT_CODE = 70

log = logging.getLogger("kpi_app")


def stop_worker(what: str, error: BaseException | None = None) -> NoReturn:
    """Say what went wrong in one line and end the process at once, before anything else is written.

    Not a clean shutdown on purpose: that would checkpoint and commit on the way out. What was checkpointed is
    safe, the rest is read again by whoever takes over.
    """
    kind = type(error).__name__
    reason = f": {kind}: {str(error).removeprefix(f'{kind}: ')}" if error is not None else ""  # aiokafka's say it twice
    log.critical("worker stops: %s%s", what, reason, exc_info=error if log.isEnabledFor(logging.DEBUG) else None)
    end(EXIT_CODE)


def refuse_start(error: UserError) -> NoReturn:
    """End a start with the one line that the user can mend; faust would add a page of tracebacks."""
    if sys.__stderr__ is not None:
        sys.__stderr__.write(f"{error}\n")
    end(1)


def end(code: int) -> NoReturn:
    """End the process at once, with what it has said so far on its way."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    logging.shutdown()
    os._exit(code)
