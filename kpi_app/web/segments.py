"""Segments of any partition: from this worker, from the one that owns it, or from Postgres."""

import heapq
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, web

from kpi_app.web import query
from kpi_app.web.answers import AskDifferently, NotHere, json
from kpi_app.web.needs import Group, Owned, Partition, Reader
from kpi_app.web.tables import MOST_SEGMENTS, SEGMENTS, books, entry
from kpi_app.web.turns import Turns

#: Who asks for another says so with this: nobody is asked twice.
FORWARDED = "X-Kpi-Forwarded"

#: How long the owner may take, and how much it may say.
OWNER_S = 2.0
MOST_BYTES = 4 << 20


class Segments:
    """Answers with what is held of one partition, wherever that is."""

    def __init__(self, owned: Owned, group: Group, reader: Reader, turns: Turns) -> None:
        self._owned = owned
        self._group = group
        self._reader = reader
        self._turns = turns
        self._session: ClientSession | None = None

    async def segments(self, request: web.Request) -> web.Response:
        """The books and the latest `limit` segments of a `partition`, newest window first."""
        asked = query.only(request, ("partition", "limit"))
        count = self._owned.partition_count
        number = _number(asked.get("partition"), count)
        limit = query.whole(asked, "limit", SEGMENTS, MOST_SEGMENTS)
        held = self._owned.partitions.get(number)
        if held is not None:
            return json(
                {"partition": number, "source": "worker", "owner": self._group.url, **_held(number, held, limit)}
            )
        owner = self._owner(number)
        if FORWARDED in request.headers:  # the one who asks has Postgres, too
            raise NotHere(f"partition {number} is not on this worker")
        if owner not in (None, self._group.url):
            answer = await self._ask(str(owner), number, limit, request.headers.get("Authorization"))
            if answer is not None:
                return json(answer)
        return json({"partition": number, "source": "postgres", "owner": owner, **await self._stored(number, limit)})

    async def close(self) -> None:
        """Let go of connections to other workers."""
        if self._session is not None:
            await self._session.close()

    def _owner(self, number: int) -> str | None:
        return next((url for url, numbers in self._group.workers().items() if number in numbers), None)

    async def _ask(self, owner: str, number: int, limit: int, authorization: str | None) -> Mapping[str, Any] | None:
        """What the owner says; None when it does not answer, or not as an owner does."""
        if self._session is None:
            self._session = ClientSession(timeout=ClientTimeout(total=OWNER_S))
        headers = {FORWARDED: "1"} | ({"Authorization": authorization} if authorization else {})
        url = f"{owner.rstrip('/')}/kpi/segments?{urlencode({'partition': number, 'limit': limit})}"
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                said = await answer.content.read(MOST_BYTES) if answer.status == 200 else b""
                while said and len(said) < MOST_BYTES and (more := await answer.content.read(MOST_BYTES)):
                    said += more
            told = orjson.loads(said)
        except (TimeoutError, ClientError, OSError, ValueError):
            return None
        return told if isinstance(told, dict) and told.get("partition") == number else None

    async def _stored(self, number: int, limit: int) -> dict[str, Any]:
        async with self._turns:  # not while an owner is asked, who may be asking us
            ledger = next((row for row in await self._reader.ledger() if row["partition"] == number), None)
            rows = await self._reader.segments(number, limit + 1)
        return {"books": ledger, "segments": [dict(row) for row in rows[:limit]], "more": len(rows) > limit}


def _held(number: int, partition: Partition, limit: int) -> dict[str, Any]:
    live = partition.state.live
    latest = heapq.nlargest(limit, live.items())
    return {
        "books": books(partition.state.committed),
        "segments": [entry(key, one, number) for key, one in latest],
        "more": len(live) > limit,
    }


def _number(text: str | None, count: int) -> int:
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 6 or int(text) >= count:
        raise AskDifferently(f"partition is a whole number from 0 to {count - 1}")
    return int(text)
