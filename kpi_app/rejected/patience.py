"""Patience: how long a topic may give nothing before its reader gives up."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from kpi_app.errors import UserError

#: Longer than the broker leaves a frozen worker's transaction open.
PATIENCE_S = 40.0


class Patience:
    """Counts the time for which Kafka is waited for; what is done with its answers may take as long as it takes."""

    def __init__(self) -> None:
        self._waited_s = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """In the block Kafka is waited for."""
        began_s = monotonic()
        yield
        self._waited_s += monotonic() - began_s

    def check(self, topic: str, has_moved: bool) -> None:
        """Begin anew where the reading has moved. Raises `UserError` where it has not for too long."""
        if has_moved:
            self._waited_s = 0.0
        elif self._waited_s > PATIENCE_S:
            raise UserError(f"{topic} could not be read on for {PATIENCE_S:.0f} s: try again")
