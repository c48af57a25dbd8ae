"""Postgres, the changelog or the raw topic is not the one that the others go on from: completed exactly, or refused.

One partition, whose lines are told one by one; Postgres is dumped and restored by its own programs.
"""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from aiokafka import AIOKafkaProducer

from kpi_app.local.postgres import psql
from kpi_app.sinks.migrate import migrate
from kpi_app.stream.bend.stop import EXIT_CODE
from kpi_app.stream.topics import CHANGELOG
from tests.conftest import create_topic, execute
from tests.exactness.conftest import MakeRig
from tests.exactness.lines import at
from tests.exactness.orders import Step
from tests.exactness.rig import Rig
from tests.exactness.test_topics import remove
from tests.exactness.truth import Inexact, Sent
from tests.exactness.workers import Worker


@pytest.fixture
async def rig(make_rig: MakeRig) -> Rig:
    return await make_rig(partitions=1)


async def dumped(rig: Rig) -> Path:
    """A dump of the database as it is now."""
    file = rig.site.directory / "dump"
    await run(rig, "pg_dump", "--format=custom", f"--file={file}")
    return file


async def restored(rig: Rig, dump: Path) -> None:
    """The database as it was then."""
    await run(
        rig, "pg_restore", f"--dbname={rig.site.topic}", "--clean", "--single-transaction", "--exit-on-error", str(dump)
    )


async def run(rig: Rig, program: str, *arguments: str) -> None:
    where = urlsplit(rig.site.dsn)
    environment = {
        "PGHOST": where.hostname,
        "PGPORT": str(where.port),
        "PGUSER": where.username,
        "PGPASSWORD": unquote(where.password or ""),
        "PGDATABASE": where.path[1:],
    }
    process = await asyncio.create_subprocess_exec(
        psql().with_name(program), *arguments, env=os.environ | {k: v for k, v in environment.items() if v}
    )
    assert await process.wait() == 0


async def stopped(rig: Rig, worker: Worker) -> None:
    """An orderly end."""
    worker.stop()
    assert await rig.ended(worker) == 0


async def refused(rig: Rig, worker: Worker, *words: str) -> None:
    """It ends itself with a line that has these words, and leaves Postgres alone."""

    async def counted() -> dict[int, Any]:  # it opens books for each partition at once
        return {partition: books for partition, books in (await rig.books()).items() if books["next_offset"]}

    before = await counted()
    assert await rig.ended(worker) == EXIT_CODE
    (line,) = [line for line in worker.log.splitlines() if "worker stops: " in line]
    assert [word for word in words if word not in line] == []
    assert await counted() == before


async def test_a_backup_from_before_the_last_flushes_is_completed(rig: Rig) -> None:
    """What it lacks is all in the state, since no window was passed meanwhile."""
    worker = rig.start()
    await rig.send([at(0, 100)])
    await rig.exact()
    dump = await dumped(rig)
    for event_s in (101, 103, 112):
        await rig.send([at(0, event_s)])
        await rig.exact()
    await stopped(rig, worker)
    await restored(rig, dump)
    worker = rig.start(disk=worker.order.disk)
    await rig.exact()
    assert "Postgres was set back: it holds partition 0 up to offset 0, but had it up to " in worker.log
    await rig.send([at(0, 104), at(0, 150)])
    await rig.exact()


async def test_a_failover_under_a_running_worker_is_completed(rig: Rig) -> None:
    """As to a standby that had not got the last transactions."""
    rig.start()
    await rig.send([at(0, 100)])
    await rig.exact()
    dump = await dumped(rig)
    await rig.send([at(0, 101), at(0, 112)])
    await rig.exact()
    await rig.send([at(0, 102)])  # a checkpoint that knows how far Postgres has come
    await rig.exact()
    await restored(rig, dump)
    await rig.send([at(0, 103)])
    await rig.exact()


async def test_a_backup_from_before_what_was_dropped_is_refused(rig: Rig) -> None:
    """A window that was passed since has left the state: there is nothing to complete it from."""
    worker = rig.start()
    await rig.send([at(0, 100)])
    await rig.exact()
    dump = await dumped(rig)
    await dropped(rig, worker)
    await stopped(rig, worker)
    await restored(rig, dump)
    worker = rig.start(disk=worker.order.disk)
    await refused(rig, worker, "Postgres was set back", "up to offset 0", "Restore a later state", "kpi reset")


async def dropped(rig: Rig, worker: Worker) -> None:
    """Lines that pass the window of those before; returns when it has left the state."""
    await worker.arm(Step("checkpoint: drops in the table", "note"))
    await rig.send([at(0, 101), at(0, 150)])
    await rig.exact()
    await worker.reached("checkpoint: drops in the table")


@pytest.mark.parametrize("some_dropped", [False, True], ids=["nothing dropped", "some dropped"])
async def test_an_empty_database_is_filled_or_refused(rig: Rig, some_dropped: bool) -> None:
    """Migrated anew, with the key of visitors as it was: the state that has dropped nothing brings it all."""
    worker = rig.start()
    await rig.send([at(0, 100), at(0, 112)])
    await rig.exact()
    if some_dropped:
        await dropped(rig, worker)
    key = await rig.database.fetchrow("SELECT name, value FROM kpi_secret")
    await stopped(rig, worker)
    await execute(rig.site.dsn, "DROP SCHEMA public CASCADE")
    await execute(rig.site.dsn, "CREATE SCHEMA public")
    await migrate(rig.site.dsn)
    await rig.database.execute("INSERT INTO kpi_secret VALUES ($1, $2)", *key)
    worker = rig.start(disk=worker.order.disk)
    if some_dropped:
        await refused(rig, worker, "Postgres was set back", "up to offset -1", "kpi reset")
    else:
        await rig.exact()
        await rig.send([at(0, 113)])
        await rig.exact()


async def replaced(rig: Rig, changelog: Iterable[Any]) -> None:
    """A changelog of the same name, with what it held at another time."""
    name = rig.site.names.changelog
    await rig.admin.delete_topics([name])
    await create_topic(rig.admin, name, 1, CHANGELOG)
    async with AIOKafkaProducer(bootstrap_servers=rig.site.brokers) as producer:
        for record in changelog:
            await producer.send_and_wait(name, record.value, key=record.key, partition=0)


@pytest.mark.parametrize("what", ["an older copy", "nothing"])
async def test_a_changelog_from_before_what_postgres_has_is_refused(rig: Rig, what: str) -> None:
    """Its owner finds what nobody but a successor could have flushed, and is none that has one; for good."""
    worker = rig.start()
    await rig.send([at(0, 100)])
    await rig.exact()
    older = [record async for record in rig.read(rig.site.names.changelog)] if what == "an older copy" else []
    await dropped(rig, worker)
    await stopped(rig, worker)
    await replaced(rig, older)
    for _ in range(2):
        worker = rig.start(patches=("folds_wait_for_a_flush",))
        await refused(rig, worker, "was set back", "changelog", "kpi reset")


async def test_a_topic_made_anew_and_grown_past_what_was_counted_is_refused(rig: Rig) -> None:
    """Its offsets fit, its id does not."""
    worker = rig.start()
    await rig.send([at(0, 100), at(0, 101)])
    await rig.exact()
    await stopped(rig, worker)
    await made_anew(rig, 5)
    worker = rig.start(disk=worker.order.disk)
    await refused(rig, worker, "offsets below 2 are counted of the topic with id", "made anew", "kpi reset")


async def test_without_ids_a_topic_made_anew_and_grown_goes_unnoticed(rig: Rig) -> None:
    """Its first lines are taken for those that were counted."""
    worker = rig.start()
    await rig.send([at(0, 100), at(0, 101)])
    await rig.exact()
    await stopped(rig, worker)
    await made_anew(rig, 5)
    rig.start(disk=worker.order.disk, patches=("ids_are_ignored",))
    with pytest.raises(Inexact, match="requests is 3, should be 5"):
        await rig.exact()


async def test_a_topic_made_anew_and_grown_under_a_running_worker_stops_it(rig: Rig) -> None:
    """Whichever of its offsets or its id is noticed first."""
    worker = rig.start(patches=("quick_looks",))
    await rig.send([at(0, 100), at(0, 101)])
    await rig.exact()
    await made_anew(rig, 50)
    assert await rig.ended(worker) == EXIT_CODE
    assert "kpi reset" in worker.log


async def made_anew(rig: Rig, lines: int) -> None:
    """The raw topic, of the same name, with other lines."""
    await rig.admin.delete_topics([rig.site.topic])
    await create_topic(rig.admin, rig.site.topic, 1)
    await rig.producer.client.force_metadata_update()
    rig.site.sent[0] = list[Sent]()
    await rig.send([at(0, 200)] * lines)


async def test_lines_removed_while_a_worker_is_far_behind_are_counted_as_lost(rig: Rig) -> None:
    """It runs, and reads on where the topic begins now; the log says so once.

    worker     100 · frozen                                    · reads what is left
    topic      0        1 2 3 4 5 6 7 8   9 …
    removed             └─ up to here ─┘
    """
    worker = rig.start(session_s=30.0)
    await rig.send([at(0, 100)])
    await rig.exact()
    worker.freeze()
    await rig.send([at(0, 101)])  # a fetch that is under way may still bring this one
    await rig.send([at(0, 102)] * 8)
    (low,) = (await remove(rig, {0: 9})).values()
    worker.thaw()
    await rig.send([at(0, 103)])
    await rig.flushed()
    lost = (await rig.books())[0]["lost_offsets"]
    assert lost in (7, 8)
    rig.site.lost[0] = lost
    rig.site.sent[0] = [record for record in rig.site.sent[0] if not low - lost <= record.offset < low]
    await rig.exact()
    assert worker.log.count("were removed before they were read") == 1
