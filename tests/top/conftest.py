"""An hour of a site's lines, by the real feed and the real sink in a real Postgres."""

import pytest

from tests.deploy.filled import line, read
from tests.sinks.conftest import store
from tests.sinks.owner import Owner
from tests.sinks.store import Store, settle

__all__ = ["store"]

#: What a stranger may ask for: codes that clear a screen, markup, an emoji's name, a start that is ours.
HOSTILE = "/[red]x[/]:smile:\x1b[2J\x1b]0;title\x07(other)\u202e"

#: Lines in the hour after T0, each 20 seconds after the one before, and how many of them fail.
LINES, FAILED = 180, 18


@pytest.fixture
async def filled(store: Store) -> Store:
    """A hundred and eighty lines, one of them hostile, and one that can't be read; the last window is open."""
    owner = Owner()
    read(owner, [*map(line, range(LINES - 1)), line(LINES - 1).replace("/page/14", HOSTILE), "no line at all"])
    sink = await store.sink(larger_s=(3_600, 86_400))
    await sink.flush(owner.checkpoint())
    await settle(sink)
    return store
