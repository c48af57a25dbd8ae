"""The configurations of Fluent Bit: only settings that there are, and names that are those of the code."""

import re
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer

from kpi_app.feeds.envelope import MAX_LINE_BYTES
from kpi_app.feeds.envelope import read as unwrap
from kpi_app.settings import Settings, default
from kpi_app.sources.follow import ROTATE_WAIT_S
from tests.conftest import Kafka, MakeTopic
from tests.fluent_bit.configurations import (
    CONFIGURATIONS,
    FILES,
    KAFKA,
    SERVICE,
    TAIL,
    VALUES,
    librdkafka,
    output,
    read,
    variables,
)

PLAIN, MTLS, SASL = (FILES / name for name in ("fluent-bit.yaml", "fluent-bit-mtls.yaml", "fluent-bit-sasl.yaml"))
ENV_EXAMPLE = FILES / "fluent-bit.env.example"
UNIT = FILES / "kpi-fluent-bit.service"

#: Not a setting of kpi_app, which is told its files on the command line; the Procfile goes by it, too.
LOG_FILE = "KPI_LOG_FILE"

each = pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)


def lines_of(path: Path) -> dict[str, str]:
    """Names and values of a file of `NAME=value` lines, those that are commented out, too."""
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", path.read_text(), re.MULTILINE))


def test_there_is_one_for_each_way_to_speak_to_kafka() -> None:
    """And no other file that looks like one."""
    assert set(CONFIGURATIONS) == {PLAIN, SASL, MTLS}


@each
def test_only_documented_settings(path: Path) -> None:
    """A misspelt one of librdkafka, or a wrong value, would pass Fluent Bit's own --dry-run."""
    found = read(path)
    assert found.keys() == {"service", "pipeline"}
    assert found["pipeline"].keys() == {"inputs", "outputs"}
    [tail], [kafka] = found["pipeline"]["inputs"], found["pipeline"]["outputs"]
    own = {name: value for name, value in kafka.items() if not name.startswith("rdkafka.")}
    assert (tail["name"], kafka["name"], kafka["match"]) == ("tail", "kafka", tail["tag"])
    for given, allowed in ((found["service"], SERVICE), (tail, TAIL), (own, KAFKA)):
        assert given.keys() - allowed == set()
        assert {name: value for name, value in given.items() if value not in VALUES.get(name, {value})} == {}


@each
def test_librdkafka_takes_its_settings(path: Path, tmp_path: Path) -> None:
    """Fluent Bit would log an unknown one and go on without it; librdkafka itself refuses it."""
    told = librdkafka(path, dict.fromkeys(variables(read(path)), "x") | {"KPI_BROKERS": "127.0.0.1:1"})
    files = {name for name in told if name.endswith(".location")}
    rest = {name: value for name, value in told.items() if name not in files}
    Producer(rest)
    for name in files:  # it knows them if it misses what they name
        with pytest.raises(KafkaException, match=f"{name} failed"):
            Producer(rest | {name: str(tmp_path / "none")})
    with pytest.raises(KafkaException, match="No such configuration property"):
        Producer(rest | {"sasl.user": "x"})


async def test_a_record_as_it_sends_it_arrives(kafka: Kafka, topic: MakeTopic) -> None:
    """With these settings of librdkafka on a real broker, and in the record that Fluent Bit makes."""
    name, told = await topic(), librdkafka(PLAIN, {"KPI_BROKERS": kafka.bootstrap})
    value = b'{"@timestamp":"2026-11-22T11:04:14.479655Z","path":"/var/log/nginx/access.log","offset":264,"log":"x"}'
    outcome: list[object] = []
    producer = Producer({key: int(value) if value.isdecimal() else value for key, value in told.items()})
    producer.produce(name, value, on_delivery=lambda error, _: outcome.append(error))
    assert producer.flush(60) == 0
    assert outcome == [None]
    assert unwrap(value) == ("x", None)
    assert (output(PLAIN)["format"], output(PLAIN)["timestamp_format"]) == ("json", "iso8601")


@pytest.mark.parametrize(("path", "protocol"), [(SASL, "sasl_ssl"), (MTLS, "ssl")], ids=["sasl", "mtls"])
def test_variants_differ_by_their_security_only(path: Path, protocol: str) -> None:
    """The comments are in one file, and what they explain is the same in all."""
    security = re.compile(r"rdkafka\.(security|sasl|ssl)\.")
    rest = {name: value for name, value in output(path).items() if not security.match(name)}
    assert rest == output(PLAIN)
    assert output(path)["rdkafka.security.protocol"] == protocol
    assert output(path)["rdkafka.ssl.endpoint.identification.algorithm"] == "https"
    assert "rdkafka.ssl.ca.location" in output(path)
    for part in ("service", "pipeline"):
        assert read(path)[part] == read(PLAIN)[part] | ({} if part == "service" else {"outputs": [output(path)]})


@each
def test_no_secret_and_no_address_is_in_it(path: Path) -> None:
    """What differs from server to server comes from the environment, and nothing else does."""
    [tail], kafka = read(path)["pipeline"]["inputs"], output(path)
    assert (tail["path"], kafka["brokers"], kafka["topics"]) == (f"${{{LOG_FILE}}}", "${KPI_BROKERS}", "${KPI_TOPIC}")
    secret = [value for name, value in kafka.items() if re.search("password|username|location", name)]
    assert all(re.fullmatch(r"\$\{KPI_KAFKA_[A-Z_]+\}", value) for value in secret)


@each
def test_variables_are_settings_of_kpi_app(path: Path) -> None:
    """One environment for all: Fluent Bit's variables go by the names of the settings."""
    unknown = variables(read(path)) - {f"KPI_{name.upper()}" for name in Settings.model_fields}
    assert unknown == {LOG_FILE}


def test_the_example_of_the_environment_has_them_all() -> None:
    """With the defaults of kpi_app, and no variable that no configuration reads."""
    example = lines_of(ENV_EXAMPLE)
    assert example.keys() == {name for path in CONFIGURATIONS for name in variables(read(path))}
    assert (example["KPI_TOPIC"], example["KPI_BROKERS"]) == (default("topic"), default("brokers"))
    assert example["KPI_KAFKA_SASL_PASSWORD"] == ""


@each
def test_its_limits_are_those_of_the_rest(path: Path) -> None:
    """Of lines and rotations as `kpi ship` has them; its port is on loopback and no worker's."""
    [tail], service = read(path)["pipeline"]["inputs"], read(path)["service"]
    assert tail["buffer_max_size"] == f"{MAX_LINE_BYTES // 1024}k"
    assert float(tail["rotate_wait"]) == ROTATE_WAIT_S
    assert service["http_listen"] == "127.0.0.1"
    assert service["http_port"] != default("web_port")


@each
def test_what_waited_for_kafka_comes_soon_after_it(path: Path) -> None:
    """Half a minute later at most, not half an hour, which is the default."""
    service = read(path)["service"]
    assert 0 < int(service["scheduler.base"]) < int(service["scheduler.cap"]) <= 30


@each
def test_it_reads_exact_files_and_keeps_its_state_where_the_unit_lets_it(path: Path) -> None:
    """A glob would read a rotated file again; a path outside of the unit's directory could not be written."""
    [tail], service = read(path)["pipeline"]["inputs"], read(path)["service"]
    assert not re.search(r"[*?\[]", tail["path"] + lines_of(ENV_EXAMPLE)[LOG_FILE])
    unit = UNIT.read_text()
    state = f"/var/lib/{re.search('^StateDirectory=(.*)$', unit, re.MULTILINE)[1]}/"  # type: ignore[index]
    assert tail["db"].startswith(state)
    assert service["storage.path"].startswith(state)
    [stop_s] = re.findall("^TimeoutStopSec=([0-9]+)$", unit, re.MULTILINE)
    assert int(stop_s) > int(service["grace"])
