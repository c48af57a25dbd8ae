"""`kpi rejected --replay`, three lines a transaction, that gets a signal at a step of one of its transactions.

Kafka would leave these open for minutes: it is the next replay that ends them.

python tests/rejected/victim.py STEP before|after SIGNAL NUMBER
"""

import os
import signal
import sys
from typing import Any

from kpi_app.cli import main
from kpi_app.rejected import replay
from kpi_app.rejected.outgoing import Outgoing
from kpi_app.stream import kafka


def signal_at(step: str, when: str, number: signal.Signals, call: int) -> None:
    """Have the process get a signal before or after the `call`th call of a step of `Outgoing`, from 1."""
    original, calls = getattr(Outgoing, step), 0

    async def hooked(self: Outgoing, *arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if (calls, when) == (call, "before"):
            os.kill(os.getpid(), number)
        await original(self, *arguments)
        if (calls, when) == (call, "after"):
            os.kill(os.getpid(), number)

    setattr(Outgoing, step, hooked)


if __name__ == "__main__":
    step, when, number, call = sys.argv[1:]
    replay._MOST_LINES = 3
    kafka.TRANSACTION_TIMEOUT_MS = 600_000
    signal_at(step, when, signal.Signals[number], int(call))
    sys.argv[1:] = ["rejected", "--replay"]
    main()
