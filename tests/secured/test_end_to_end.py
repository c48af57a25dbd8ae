"""Worker, shipper, migration and reset through TLS, with no more rights than `deploy/kafka/acls.sh` grants."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.cli.programs import WORKER, kpi, run, running, until
from tests.conftest import connected
from tests.secured.conftest import TOPIC, Place

LINE = '192.0.2.{0} - - [23/May/2023:14:21:08 +0000] "GET /{0} HTTP/1.1" 200 5\n'
LINES = 25
#: aiokafka logs its requests at DEBUG; that of PLAIN is the password.
LOUD_WORKER = (*WORKER[:-1], "debug")


@pytest.fixture
def anew(place: Place, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of a migrated database, and of a topic that nobody has made yet; forgotten afterwards, as users do."""
    settings = place.database() | place.others(tmp_path, TOPIC)
    migrated = run(kpi("migrate"), tmp_path, settings)
    assert migrated.code == 0, migrated.err
    yield settings
    forgotten = run(kpi("reset", "--yes"), tmp_path, place.sasl("operator") | settings)
    assert forgotten.code == 0, forgotten.err
    place.kafka.delete(TOPIC)


@pytest.mark.parametrize("way", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "mTLS"])
def test_lines_are_counted_through_secured_connections(
    place: Place, anew: dict[str, str], tmp_path: Path, way: str
) -> None:
    """`kpi migrate`, `kpi ship`, a worker and `kpi reset`; the books balance, and no secret is in a log."""
    worker = place.mtls() if way == "mTLS" else place.sasl("worker", way)
    (tmp_path / "access.log").write_text("".join(LINE.format(n) for n in range(LINES)) + "junk\n")

    shipped = run(kpi("ship", "access.log"), tmp_path, place.sasl("shipper") | anew)
    assert (shipped.code, shipped.out) == (0, f"{LINES + 1} lines sent to {TOPIC}\n"), shipped.err
    with running(LOUD_WORKER, tmp_path, worker | anew) as program:
        until(lambda: program.process.poll() is not None or books(anew) == (LINES + 1, LINES, 1))
        assert program.process.poll() is None, program.err
        again = run(kpi("reset", "--yes"), tmp_path, place.sasl("operator") | anew)
        assert "1 worker of kpi-" in again.err  # the group can be seen
        program.process.terminate()
        done = program.wait()
    assert done.code == 0, done.err
    assert "aiokafka" in done.out + done.err
    for secret in (worker.get("KPI_KAFKA_SASL_PASSWORD"), worker.get("KPI_KAFKA_SSL_KEY_PASSWORD")):
        assert not secret or secret not in done.out + done.err
    assert place.postgres.password not in done.out + done.err


def books(settings: Mapping[str, str]) -> tuple[int, int, int]:
    """Lines, counted, rejected, of the ledger."""
    return asyncio.run(_books(settings["KPI_DATABASE_URL"]))


async def _books(dsn: str) -> tuple[int, int, int]:
    async with connected(dsn) as connection:
        ledger = await connection.fetchrow(
            "SELECT coalesce(sum(lines), 0), coalesce(sum(counted), 0), coalesce(sum(rejected), 0) "
            "FROM ingest_ledger WHERE topic = $1",
            TOPIC,
        )
        return (int(ledger[0]), int(ledger[1]), int(ledger[2]))
