"""Keys that are made once and kept in Postgres, the same for all workers."""

import secrets

from kpi_app.sinks import queries
from kpi_app.sinks.connect import Session

_SQL = queries.load("secret")

#: Bytes of a key.
_LENGTH = 32


async def key(session: Session, name: str) -> bytes:
    """The key of a name, made by whoever asks first, within the caller's transaction."""
    await session.execute(_SQL["offer_key"], name, secrets.token_bytes(_LENGTH))
    # a statement of its own: it sees the key of whoever was first
    return bytes(await session.value(_SQL["read_key"], name))
