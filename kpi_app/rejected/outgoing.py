"""Outgoing: lines and the receipts of their letters, in one Kafka transaction.

fence → ( begin → copies → receipts → commit )*
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

from kpi_app.errors import UserError
from kpi_app.rejected.originals import Original
from kpi_app.settings import Settings
from kpi_app.sources.connection import close
from kpi_app.stream.deadletters import REPLAY_HEADER, Receipt
from kpi_app.stream.kafka import TRANSACTION_TIMEOUT_MS, transactional_producer
from kpi_app.stream.topics import Names

#: How long Kafka may take for the fence: it ends the predecessor's transaction first.
FENCE_S = 30.0

#: How long for a transaction, and for ending one that failed: together less than the broker waits until it ends it.
ANSWER_S = TRANSACTION_TIMEOUT_MS / 1_000 - 3
ABORT_S = 1.0


class Outgoing:
    """Sends with a started producer that has fenced all others."""

    def __init__(self, producer: AIOKafkaProducer, names: Names) -> None:
        self._producer = producer
        self._names = names

    async def send(self, lines: Sequence[Original]) -> None:
        """Send lines through again, all of them or none. Raises `UserError` when Kafka does not let us go on."""
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._begin()
                try:
                    await self._send_copies(lines)
                    await self._send_receipts(lines)
                except BaseException:
                    await self._abort()
                    raise
                await self._commit()
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise UserError(
                "another `kpi rejected --replay` has begun, or Kafka ended this one's transaction: say the same again"
            ) from error
        except TimeoutError as error:
            raise UserError(
                f"no answer from Kafka in {ANSWER_S:.0f} s: say the same again, nothing is sent twice"
            ) from error

    async def _begin(self) -> None:
        await self._producer.begin_transaction()

    async def _send_copies(self, lines: Sequence[Original]) -> None:
        sent = [
            await self._producer.send(
                self._names.raw,
                original.record.value,
                key=original.record.key,
                partition=original.record.partition,
                timestamp_ms=original.record.timestamp,
                headers=_headers(original),
            )
            for original in lines
        ]
        await asyncio.gather(*sent)

    async def _send_receipts(self, lines: Sequence[Original]) -> None:
        sent = [
            await self._producer.send(
                self._names.rejected, Receipt.of(place.offset, letter).encode(), partition=place.partition
            )
            for (place, letter), _ in lines
        ]
        await asyncio.gather(*sent)

    async def _abort(self) -> None:
        """End the transaction, if it can be done at once: nobody reads past it before, for 15 s at most."""
        with contextlib.suppress(KafkaError, TimeoutError, AssertionError):  # the last one: aiokafka, once it is fenced
            async with asyncio.timeout(ABORT_S):
                await self._producer.abort_transaction()

    async def _commit(self) -> None:
        await self._producer.commit_transaction()


def _headers(original: Original) -> list[tuple[str, bytes]]:
    """The line's own, and the birth of the books that rejected it: others have read the line itself."""
    birth = original.waiting.letter.birth
    kept = [(name, value) for name, value in original.record.headers if name != REPLAY_HEADER]
    return [*kept, (REPLAY_HEADER, birth.encode())] if birth else kept


def _unseen(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Of a failed transaction aiokafka leaves futures that nobody can look at; asyncio would tell of them."""
    if not isinstance(context.get("exception"), KafkaError):
        loop.default_exception_handler(context)


@contextlib.asynccontextmanager
async def outgoing(settings: Settings) -> AsyncIterator[Outgoing]:
    """Fence every other replay, and end its transaction. Raises `UserError`."""
    names = Names(settings.topic)
    asyncio.get_running_loop().set_exception_handler(_unseen)
    producer = transactional_producer(settings, names.replay)
    try:
        async with asyncio.timeout(FENCE_S):
            await producer.start()
        yield Outgoing(producer, names)
    finally:
        await close(producer)
