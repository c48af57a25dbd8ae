"""Lines that are sent through again, read by a worker that ends in the middle of it: each of them counts once."""

import json
from collections import Counter

import pytest

from kpi_app.rejected import replay
from kpi_app.settings import Settings, fields
from tests.exactness.orders import ENDED, Step
from tests.exactness.rig import Rig
from tests.exactness.truth import Sent, compare, truth
from tests.exactness.workers import Worker, until
from tests.recount import recount

#: Where the worker ends that reads the first copies.
POINTS = ["checkpoint: begun", "checkpoint: books sent", "checkpoint: committed", "flush: ledger written"]


def not_read(sent: Sent) -> Sent:
    """A line that nobody could read at the time, for the recount: only its place in a file was known."""
    if sent.value is None or recount([sent.value]).reasons:
        return sent
    if sent.value.startswith(b"{"):
        return sent._replace(value=json.dumps(json.loads(sent.value) | {"log": "no line"}).encode())
    return sent._replace(value=b"no line")


async def copies(rig: Rig) -> dict[int, list[Sent]]:
    """What was sent through again, by partition."""
    found: dict[int, list[Sent]] = {partition: [] for partition in rig.site.sent}
    async for record in rig.read(rig.site.topic):
        if "kpi-replay" in dict(record.headers):
            found[record.partition].append(Sent(record.offset, record.value, record.timestamp))
    return found


async def replayed(rig: Rig, worker: Worker) -> dict[int, list[Sent]]:
    """Replay by a worker's settings; returns what that sent: once each line that a recount can read."""
    expected = dict[int, Counter[bytes | None]]()
    for partition, sent in rig.site.sent.items():
        reasons = recount([each.value for each in sent], record_ms=[each.timestamp_ms for each in sent]).reasons
        expected[partition] = Counter(each.value for number, each in enumerate(sent) if number not in reasons)
    await replay.Replay(Settings(**fields(worker.order.settings)), None, False).run(lambda done, total: None)
    found = await copies(rig)
    assert {partition: Counter(each.value for each in some) for partition, some in found.items()} == expected
    assert sum(map(len, found.values())) > 10
    return found


@pytest.mark.parametrize("point", POINTS)
async def test_a_copy_counts_once_whatever_the_worker_that_reads_it_does(
    rig: Rig, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A format that was wrong, the right one, a replay, an end by `kill -9`; then a reset, and another end."""
    monkeypatch.setattr(replay, "_MOST_LINES", 5)  # in many transactions
    site = rig.site
    worker = rig.start(log_format="common")
    await rig.send()
    originals = {partition: list(sent) for partition, sent in site.sent.items()}
    site.sent.update({partition: list(map(not_read, sent)) for partition, sent in originals.items()})
    await rig.exact()
    worker.stop()
    assert await rig.ended(worker) == 0

    worker = rig.start(Step(point), disk=worker.order.disk)
    unread = dict(site.sent)
    site.sent.update(originals)
    found = await replayed(rig, worker)
    site.sent.update({partition: [*unread[partition], *found[partition]] for partition in originals})
    assert await rig.ended(worker) == ENDED
    worker = rig.start(disk=worker.order.disk)
    await rig.send()
    await rig.exact()
    worker.stop()
    assert await rig.ended(worker) == 0

    await rig.reset(worker)
    worker = rig.start(Step(point), disk=worker.order.disk)
    assert await rig.ended(worker) == ENDED
    rig.start(disk=worker.order.disk)
    later = {p: sent[len(originals[p]) + len(found[p]) :] for p, sent in site.sent.items()}
    expected = truth({p: [*originals[p], *later[p]] for p in originals}, site.lost)
    for partition, books in expected.books.items():  # these books have read the lines themselves
        books["lines"] += len(found[partition])
        books["duplicates"] += len(found[partition])
    await until("everything published", lambda: rig.settled(expected))
    compare(expected, await rig.found())
