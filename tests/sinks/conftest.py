"""What the tests of sinks share: a migrated database, and an eye on it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from kpi_app.sinks.migrate import migrate
from tests.sinks.store import Store


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """A migrated database with sinks on it, closed in the end."""
    await migrate(database)
    store = Store(database, await asyncpg.connect(database))
    yield store
    await store.close()
