"""Every client of Kafka speaks as the settings say: one function turns them into options, and nobody goes without."""

import ast
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiokafka
import pytest
from faust.transport.drivers import aiokafka as driver
from pydantic import SecretStr

import kpi_app
from kpi_app.settings import Settings
from kpi_app.stream import kafka
from kpi_app.stream.bend.credentials import credentials
from kpi_app.stream.security import security
from kpi_app.worker import Worker, postgres_sink

PACKAGE = Path(kpi_app.__file__).parent

#: aiokafka's clients, and what faust makes its own of.
CLIENTS = {"AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient", "AIOKafkaClient"}


def sasl(protocol: str = "SASL_SSL", mechanism: str = "SCRAM-SHA-512") -> Settings:
    """Settings with a user."""
    return Settings(
        kafka_security=protocol,
        kafka_sasl_mechanism=mechanism,
        kafka_sasl_username="kpi",
        kafka_sasl_password=SecretStr("pa55word"),
    )


def calls() -> list[tuple[str, ast.Call]]:
    """Every call in the package, with where it is."""
    trees = [(path, ast.parse(path.read_text())) for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts]
    return [
        (f"{path.relative_to(PACKAGE)}:{node.lineno}", node)
        for path, tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    return ast.unparse(node.func).rpartition(".")[2]


def test_no_client_is_made_without_the_options_of_the_settings() -> None:
    """Each one gets `**connection(settings)`, or the `**connection` that it was handed."""
    made = [(where, node) for where, node in calls() if called(node) in CLIENTS]
    assert len(made) >= 6
    for where, node in made:
        spread = [ast.unparse(each.value) for each in node.keywords if each.arg is None]
        assert spread in (["connection(settings)"], ["connection"]), where


def test_where_kafka_is_is_said_in_one_place() -> None:
    """Nobody else names brokers to a client, faust's app aside, which is told how to prove who it is, too."""
    naming = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if '"bootstrap_servers":' in path.read_text() or "bootstrap_servers=" in path.read_text()
    ]
    assert naming == ["stream/kafka.py"]
    apps = [node for _, node in calls() if called(node) == "BentApp"]
    for node in apps:
        options = {each.arg: ast.unparse(each.value) for each in node.keywords if each.arg}
        assert options["broker_credentials"] == "credentials(security(settings))"
    assert apps


def test_whoever_connects_hands_on_those_options() -> None:
    """`ship` and `end_offsets` take them as an argument: it is always `connection(settings)`."""
    given = [
        (where, ast.unparse(value))
        for where, node in calls()
        if called(node) in ("ship", "send", "end_offsets", "connect") and not where.startswith("sources/")
        for value in [each.value for each in node.keywords if each.arg == "connection"]
        + [each for each in node.args[:1] if "connection" in ast.unparse(each)]
    ]
    assert len(given) >= 3
    for where, value in given:
        assert value.startswith("connection("), where


@pytest.mark.parametrize("settings", [sasl(), sasl(mechanism="PLAIN"), sasl("SSL"), sasl("PLAINTEXT")])
def test_fausts_clients_get_the_same_as_ours(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its consumer and its producer."""
    made: list[dict[str, Any]] = []

    def client(**options: Any) -> SimpleNamespace:
        made.append({name: value for name, value in options.items() if name.startswith(("security_", "s"))})
        return SimpleNamespace()

    ours = security(settings)
    app = Worker(settings.model_copy(update={"data_dir": tmp_path}), postgres_sink(settings)).app
    assert dict(app.producer._settings_auth()) == ours
    for module, name in ((aiokafka, "AIOKafkaConsumer"), (kafka, "AIOKafkaConsumer"), (kafka, "AIOKafkaProducer")):
        monkeypatch.setattr(module, name, client)
    thread = SimpleNamespace(app=app, consumer=SimpleNamespace(in_transaction=False))
    driver.AIOKafkaConsumerThread._create_worker_consumer(thread, app.transport)
    kafka.changelog_reader(settings)
    kafka.transactional_producer(settings, "x")
    assert len(made) == 3
    for options in made:
        assert {name: value for name, value in options.items() if not name.startswith("session_")} == ours


def test_tls_is_always_checked() -> None:
    """Certificate and host name, by settings of every kind; there is no way to turn it off."""
    for protocol in ("SSL", "SASL_SSL"):
        context = security(sasl(protocol))["ssl_context"]
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_plaintext_carries_nothing_and_ssl_no_password() -> None:
    """A password is for SASL alone."""
    assert security(sasl("PLAINTEXT")) == {"security_protocol": "PLAINTEXT"}
    assert set(security(sasl("SSL"))) == {"security_protocol", "ssl_context"}
    assert set(security(sasl("SASL_PLAINTEXT"))) == {
        *("security_protocol", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
    }
    assert credentials(security(sasl("PLAINTEXT"))) is None


def test_the_password_does_not_show() -> None:
    """Not in faust's representation, which it prints."""
    assert "pa55word" not in repr(credentials(security(sasl())))
    assert "pa55word" not in repr(sasl())


def test_what_every_client_starts_with_holds_the_brokers() -> None:
    """Beside security."""
    assert kafka.connection(sasl())["bootstrap_servers"] == "127.0.0.1:9092"
