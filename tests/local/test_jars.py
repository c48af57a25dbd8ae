"""Kafka's jars are exactly the listed ones, however they came."""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kpi_app.local.errors import LocalError
from kpi_app.local.jars import Jar, default_cache, ensure_jars, kafka_jars, missing_jars
from kpi_app.local.progress import OnBytes, Row
from tests.conftest import Kafka


class Counting(Row):
    """Adds up what arrives."""

    arrived = announced = 0

    def fetch(self, text: str, total_bytes: int) -> OnBytes:
        """Notes the size."""
        self.announced = total_bytes
        return self.count

    def count(self, count: int) -> None:
        """Adds to it."""
        self.arrived += count


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing about it."""

    def log_message(self, format: str, *args: object) -> None:
        """Doesn't."""


@pytest.fixture(scope="module")
def jars(kafka: Kafka) -> list[Jar]:
    """The listed jars, all of them in the user's cache since the broker was started from there."""
    if missing_jars(default_cache()):
        pytest.skip("no embedded broker was started, so nothing is in the cache")
    return kafka_jars()


@pytest.fixture
def mirror(tmp_path: Path, jars: list[Jar], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository on loopback with all the jars, set in jgo's configuration as a user would."""
    repository = tmp_path / "mirror"
    for jar in jars:
        group, artifact, version = jar.coordinate.split(":")
        place = repository / group.replace(".", "/") / artifact / version / jar.file_name
        place.parent.mkdir(parents=True)
        shutil.copy(default_cache() / jar.file_name, place)
    handler = functools.partial(Quiet, directory=str(repository))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        configure(tmp_path, monkeypatch, server.server_port)
        yield repository
        server.shutdown()


def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    (tmp_path / "jgo.conf").write_text(f"[repositories]\nmirror = http://127.0.0.1:{port}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(tmp_path / "jgo.conf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_all_are_fetched_and_counted(tmp_path: Path, mirror: Path) -> None:
    """An empty cache is filled; the progress adds up to what was announced."""
    row = Counting()
    paths = ensure_jars(tmp_path / "cache", row)
    assert missing_jars(tmp_path / "cache") == []
    assert {path.parent for path in paths} == {tmp_path / "cache"}
    assert row.arrived == row.announced == sum(jar.size_bytes for jar in kafka_jars())
    assert sorted((tmp_path / "cache").iterdir()) == sorted(paths)


def test_only_what_is_missing_or_damaged_is_fetched(tmp_path: Path, mirror: Path) -> None:
    """A jar that an accident cut short is replaced."""
    cache, row = tmp_path / "cache", Counting()
    shutil.copytree(default_cache(), cache)
    damaged = kafka_jars()[0]
    (cache / damaged.file_name).write_bytes(b"half")
    ensure_jars(cache, row)
    assert row.announced == damaged.size_bytes
    assert missing_jars(cache) == []


def test_an_altered_jar_is_refused(tmp_path: Path, mirror: Path) -> None:
    """What has another hash than the listed one never gets into the cache."""
    altered = next(mirror.rglob("kafka-clients-*.jar"))
    altered.write_bytes(b"something else")
    with pytest.raises(LocalError, match=r"kafka-clients.* arrived damaged or altered"):
        ensure_jars(tmp_path / "cache", Row())
    assert not (tmp_path / "cache" / altered.name).exists()


def test_no_network_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what it wanted and what to do."""
    configure(tmp_path, monkeypatch, port=1)
    with pytest.raises(LocalError, match=r"could not fetch .*check the network .*KPI_BROKERS") as error:
        ensure_jars(tmp_path / "cache", Row())
    assert "\n" not in str(error.value)


def test_the_list_has_each_jar_once_with_a_hash() -> None:
    """It holds nothing else: no address, no path."""
    jars = kafka_jars()
    assert len({jar.file_name for jar in jars}) == len(jars)
    for jar in jars:
        assert jar.coordinate.count(":") == 2
        assert len(bytes.fromhex(jar.sha256)) == 32
