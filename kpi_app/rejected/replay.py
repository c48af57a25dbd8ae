"""Replay: the lines of dead letters are sent through again, each of them once.

docs/design.md has the order of writes, and what a crash behind each of them does.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

from aiokafka import AIOKafkaConsumer

from kpi_app.rejected.judge import judge
from kpi_app.rejected.letters import Letters, Receipts, Told, answering, letters, partitions
from kpi_app.rejected.originals import Original, Waiting, originals
from kpi_app.rejected.outcome import Fate, Outcome
from kpi_app.rejected.outgoing import outgoing
from kpi_app.settings import Settings
from kpi_app.stream.deadletters import Letter
from kpi_app.stream.kafka import changelog_reader

#: Letters whose lines are looked for together.
_TOGETHER = 2_000

#: The most that one transaction sends: lines, and bytes of them.
_MOST_LINES = 1_000
_MOST_BYTES = 4 << 20

#: How long a transaction that is under way may go on when we are told to end.
_END_S = 5.0

#: Sends lines, all of them or none.
Send = Callable[[Sequence[Original]], Awaitable[None]]


class Replay:
    """One run. `outcome` is right at any moment, also when the run is cut off."""

    def __init__(self, settings: Settings, reason: str | None, dry: bool) -> None:
        self.outcome = Outcome()
        self._settings = settings
        self._reason = reason
        self._dry = dry

    async def run(self, told: Told) -> None:
        """Send what can be read now, or in a dry run find out what that is.

        `told` hears how far it is. A cancellation waits for the transaction under way. Raises `UserError`.
        """
        with answering(self._settings):
            async with AsyncExitStack() as stack:
                numbers = await partitions(self._settings, self._settings.topic)
                # fence, then look: what the one before us has sent is there to be seen
                send = _nowhere if self._dry else (await stack.enter_async_context(outgoing(self._settings))).send
                found = await stack.enter_async_context(letters(self._settings))
                raw = await stack.enter_async_context(changelog_reader(self._settings))
                replayed = await found.receipts(lambda done, total: told(done, 2 * total))
                async for waiting in self._waiting(found, replayed, lambda done, total: told(done + total, 2 * total)):
                    await self._send_again(raw, numbers, waiting, send)

    async def _waiting(self, found: Letters, replayed: Receipts, told: Told) -> AsyncIterator[list[Waiting]]:
        """The letters without a receipt, many at a time."""
        waiting: list[Waiting] = []
        async for some in found.found(told):
            for place, content in some:
                if content is None:
                    self.outcome.strangers += 1
                elif not isinstance(content, Letter) or self._reason not in (None, content.reason):
                    continue
                elif not replayed.hold(place, content):
                    waiting.append(Waiting(place, content))
            if len(waiting) >= _TOGETHER:
                yield waiting
                waiting = []
        yield waiting

    async def _send_again(
        self, raw: AIOKafkaConsumer, numbers: Sequence[int], waiting: Sequence[Waiting], send: Send
    ) -> None:
        async for lot in _lots(originals(raw, self._settings.topic, numbers, waiting)):
            fates = await asyncio.to_thread(_fates, lot, self._settings)
            await _to_its_end(self._send(list(zip(lot, fates, strict=True)), send))

    async def _send(self, judged: Sequence[tuple[Original, Fate]], send: Send) -> None:
        if lines := [original for original, fate in judged if fate is Fate.SENT]:
            await send(lines)
        for original, fate in judged:
            self.outcome.add(original.waiting.letter.reason, fate)


async def _lots(found: AsyncIterator[Original]) -> AsyncIterator[list[Original]]:
    """As many at a time as one transaction sends."""
    lot: list[Original] = []
    size = 0
    async for original in found:
        lot.append(original)
        size += original.size
        if len(lot) >= _MOST_LINES or size >= _MOST_BYTES:
            yield lot
            lot, size = [], 0
    if lot:
        yield lot


def _fates(lot: Sequence[Original], settings: Settings) -> list[Fate]:
    there = [each for each in lot if each.is_there]
    values, times_ms = [each.record.value for each in there], [each.record.timestamp for each in there]
    reasons = judge(values, times_ms, settings) if there else []
    still = {each.waiting.place for each, reason in zip(there, reasons, strict=True) if reason is not None}
    return [_fate(each, each.waiting.place in still) for each in lot]


def _fate(original: Original, still: bool) -> Fate:
    if original.record is None:
        return Fate.GONE
    if not original.is_there:
        return Fate.OTHER
    return Fate.STILL if still else Fate.SENT


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for it, for a while even where we are told to end meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_END_S)
        if task.done() and not task.cancelled():
            task.exception()  # we end in any case
        raise


async def _nowhere(_: Sequence[Original]) -> None:
    """Send nothing."""
