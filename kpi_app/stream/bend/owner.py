"""What the bent faust asks of the code that owns the state."""

from collections.abc import Mapping
from typing import Protocol


class Owner(Protocol):
    """Owns the state of the source partitions that this worker is assigned."""

    @property
    def source_topic(self) -> str:
        """The topic that is fetched in batches and positioned from the state."""
        ...

    async def prepare(self) -> None:
        """Called once, before the worker joins its group. Raises `UserError` to stop the start."""
        ...

    async def take_over(self, partitions: set[int]) -> Mapping[int, int] | None:
        """Load the state of these source partitions; returns the offset at which each goes on.

        None when they were given up meanwhile: the next rebalance is on its way.

        Whatever it raises ends the worker.
        """
        ...

    async def give_up(self, partitions: set[int]) -> None:
        """Checkpoint and let go of these source partitions, within seconds; must not raise."""
        ...

    def committed(self) -> Mapping[int, int]:
        """The next offset by partition as of the last checkpoint of each that was ever owned."""
        ...

    async def finish(self) -> None:
        """Called when the worker stops: give up everything, within seconds; must not raise."""
        ...
