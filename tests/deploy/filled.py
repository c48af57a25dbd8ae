"""Rows as a site makes them: real lines, read by the real feed, flushed and merged into a real Postgres."""

from datetime import UTC, datetime
from types import SimpleNamespace

from faust.types import TP

from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.base import Reading
from kpi_app.stream.bend import Records
from kpi_app.stream.fold import Folding, fold_records
from tests.deploy.conftest import Deployed, with_password
from tests.sinks.owner import RULES, T0, TOPIC, Owner
from tests.sinks.store import Store, settle

#: The span that holds all of it, seconds since the epoch.
FROM, TO = T0 - 3_600, T0 + 3 * 3_600

_AGENTS = ("Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0", "Googlebot/2.1")


def line(number: int) -> str:
    """One of a few hundred requests in the two hours after T0: every tenth fails, every third is a bot's."""
    time = datetime.fromtimestamp(T0 + 20 * number, UTC)
    status = 500 if number % 10 == 0 else 404 if number % 10 == 1 else 200
    return (
        f'192.0.2.{number % 7} - - [{time:%d/%b/%Y:%H:%M:%S %z}] "GET /page/{number % 15} HTTP/1.1" {status} 1234'
        f' "https://example.org/" "{_AGENTS[number % 3 == 0]}" "-" rt=0.{number % 90:03} host=example.org'
    )


async def fill(deployed: Deployed) -> None:
    """Lines of two partitions, a late and an unreadable one among them; all are merged but a last one."""
    store = Store(with_password(deployed.dsn("writer"), "writer"), await deployed.connect())
    try:
        sink = await store.sink(larger_s=(3_600, 86_400))
        owners = [Owner(0), Owner(1)]
        for number, owner in enumerate(owners):
            read(owner, [line(i) for i in range(number, 360, 2)])
        read(owners[0], [line(2), "no line at all"])
        for owner in owners:
            await sink.flush(owner.checkpoint())
        await settle(sink)
        read(owners[1], [line(360)])
        await sink.flush(owners[1].checkpoint())
    finally:
        await store.close()


def read(owner: Owner, lines: list[str]) -> None:
    """Read lines of a log as a worker does."""
    first = owner.state.ledger.next_offset
    records = [
        SimpleNamespace(offset=first + i, timestamp=-1, value=it.encode(), headers=()) for i, it in enumerate(lines)
    ]
    by = Folding(ACCESS, Reading(visitor_key=b"0123456789abcdef"), RULES)
    folded, _ = fold_records(Records.of(records), first, owner.state.ledger.watermark_us, by, TP(TOPIC, 0))
    owner.state.apply(folded)
