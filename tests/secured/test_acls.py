"""Of what `deploy/kafka/acls.sh` grants a worker nothing can be left out; without it the worker says so and ends.

That it suffices is what `test_end_to_end.py` shows.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faust.types import TP

from kpi_app.stream.deadletters import DeadLetter
from kpi_app.stream.topics import Names
from tests.cli.programs import WORKER, kpi, run
from tests.secured.conftest import TOPIC, Place
from tests.secured.servers import STRANGER

NAMES = Names(TOPIC)
NO_TOPIC, NO_GROUP = "TopicAuthorizationFailedError", "GroupAuthorizationFailedError"
NO_ID = "TransactionalIdAuthorizationFailed"

#: A right, and what is said where only seeing the thing is left of it; "blind": where not even that.
NEEDED = {
    "raw topic": (NAMES.raw, "READ", f"Kafka does not let this user read.*{NO_TOPIC}: {NAMES.raw}"),
    "raw topic, blind": (NAMES.raw, "READ", f"topic {NAMES.raw}: {NO_TOPIC}"),
    "changelog, reading": (NAMES.changelog, "READ", f"cannot take over.*{NO_TOPIC}: {NAMES.changelog}"),
    "changelog, writing": (NAMES.changelog, "WRITE", f"cannot checkpoint.*{NO_TOPIC}: {NAMES.changelog}"),
    "dead letters": (NAMES.rejected, "WRITE", f"cannot checkpoint.*{NO_TOPIC}: {NAMES.rejected}"),
    "group": (NAMES.app, "READ", f"Kafka does not let this user read.*{NO_GROUP}: {NAMES.app}"),
    "group, blind": (NAMES.app, "READ", f"Kafka does not let this user read.*{NO_GROUP}: {NAMES.app}"),
    "transactional id": (NAMES.transactional_id(0)[:-1], "WRITE", f"cannot take over.*{NO_ID}"),
}


@pytest.fixture(scope="module")
def shipped(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings of a topic with lines, a rejected one among them, whose other topics are there, too."""
    here = tmp_path_factory.mktemp("shipped")
    settings = place.database() | place.others(here, TOPIC)
    (here / "access.log").write_text('192.0.2.1 - - [23/May/2023:14:21:08 +0000] "GET / HTTP/1.1" 200 5\njunk\n' * 50)
    for command, user in ((("migrate",), "worker"), (("ship", "access.log"), "shipper")):
        done = run(kpi(*command), here, place.sasl(user) | settings)
        assert done.code == 0, done.err
    for name in (NAMES.changelog, NAMES.rejected):
        place.kafka.make(name, 8)
    yield settings
    for name in (NAMES.raw, NAMES.changelog, NAMES.rejected):
        place.kafka.delete(name)


@pytest.mark.parametrize("lacking", NEEDED)
def test_a_worker_that_lacks_one_right_says_which_and_ends(
    place: Place, shipped: dict[str, str], tmp_path: Path, lacking: str
) -> None:
    """It never waits for what will not come, and never goes on without."""
    name, operation, said = NEEDED[lacking]
    given = place.kafka.rights("worker")
    lost = [right for right in given if (right.name, right.operation.name) == (name, operation)]
    assert len(lost) == 1  # the script's names are those of the code
    left = [right for right in given if right not in lost]
    place.kafka.give(STRANGER, left, to_see=() if "blind" in lacking else lost)
    settings = shipped | place.sasl(STRANGER) | {"KPI_DATA_DIR": str(tmp_path / "data")}
    done = run(WORKER, tmp_path, settings)
    assert done.code != 0
    assert "Traceback" not in done.err
    assert re.search(said, done.err.splitlines()[-1]), done.err


async def make_up_a_letter(brokers: str) -> None:
    """Have a line of the raw topic that can be read waiting for a replay."""
    async with AIOKafkaConsumer(NAMES.raw, bootstrap_servers=brokers, auto_offset_reset="earliest") as consumer:
        async for record in consumer:
            if b"junk" not in record.value:
                break
    where = TP(NAMES.raw, record.partition)
    letter = DeadLetter.of(where, record.offset, record.timestamp, "format", record.value, True)
    async with AIOKafkaProducer(bootstrap_servers=brokers) as producer:
        await producer.send_and_wait(NAMES.rejected, letter.encode("b1"))


def test_of_the_rights_to_replay_none_can_be_left_out(place: Place, shipped: dict[str, str], tmp_path: Path) -> None:
    """Reading takes no more than Read; a replay that lacks a right says so, and has sent nothing."""
    asyncio.run(make_up_a_letter(place.kafka.bootstrap))
    given = place.kafka.rights("replayer")
    assert len(given) == 5
    for lacking in given:
        place.kafka.give(STRANGER, [right for right in given if right != lacking], to_see=[lacking])
        done = run(kpi("rejected", "--replay"), tmp_path, shipped | place.sasl(STRANGER))
        assert (done.code, done.err.count("\n")) == (1, 1), (lacking, done.err)
        assert done.err.startswith("Kafka does not let this user do that: "), done.err
    listed = run(kpi("rejected"), tmp_path, shipped | place.sasl("reader"))
    assert (listed.code, listed.out.splitlines()[1].split()[:3]) == (0, ["format", "1", "0"]), listed.err
    replayed = run(kpi("rejected", "--replay"), tmp_path, shipped | place.sasl("replayer"))
    assert (replayed.code, replayed.out.splitlines()[1].split()[:2]) == (0, ["format", "1"]), replayed.err


def test_a_reset_that_may_not_end_replays_says_so(place: Place, shipped: dict[str, str], tmp_path: Path) -> None:
    """Before it deletes anything."""
    given = place.kafka.rights("operator")
    left = [right for right in given if right.name != NAMES.replay]
    assert len(left) == len(given) - 1
    place.kafka.give(STRANGER, left)
    done = run(kpi("reset", "--yes"), tmp_path, shipped | place.sasl(STRANGER))
    assert (done.code, done.err.count("\n")) == (1, 1), done.err
    assert f"may not use the transactional id {NAMES.replay}" in done.err
    listed = run(kpi("rejected"), tmp_path, shipped | place.sasl("reader"))
    assert listed.code == 0, listed.err


def test_without_any_right_every_command_says_so(place: Place, shipped: dict[str, str], tmp_path: Path) -> None:
    """One line, and nothing done."""
    place.kafka.give(STRANGER, [])
    (tmp_path / "access.log").write_text("x\n")
    for command in (WORKER, kpi("ship", "access.log")):
        done = run(command, tmp_path, shipped | place.sasl(STRANGER))
        assert done.code == 1
        assert done.err.startswith(f"topic {TOPIC}: it is missing, or hidden from this user of Kafka"), done.err
        assert done.err.count("\n") == 1
    reset = run(kpi("reset", "--yes"), tmp_path, shipped | place.sasl(STRANGER))
    assert (reset.code, reset.err.count("\n")) == (1, 1)
    assert "GroupAuthorizationFailed" in reset.err or f"may not see the group {NAMES.app}" in reset.err


def test_who_may_not_make_topics_uses_those_that_are_there(
    place: Place, shipped: dict[str, str], tmp_path: Path
) -> None:
    """Where somebody else makes them, Create is nobody's to have."""
    place.kafka.give(STRANGER, [right for right in place.kafka.rights("shipper") if right.operation.name != "CREATE"])
    (tmp_path / "access.log").write_text("x\n")
    done = run(kpi("ship", "access.log"), tmp_path, shipped | place.sasl(STRANGER) | {"KPI_DATA_DIR": str(tmp_path)})
    assert (done.code, done.out) == (0, f"1 lines sent to {TOPIC}\n"), done.err
