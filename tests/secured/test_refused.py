"""Who is not let in, or does not trust who is there, is told so in one line; nothing is sent, no secret is shown."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kpi_app.errors import UserError
from kpi_app.settings import Settings, load
from kpi_app.sinks.check import check_connection
from kpi_app.sinks.connect import Database
from kpi_app.sources.connection import connect
from kpi_app.stream.kafka import admin, connection
from tests.cli.programs import WORKER, kpi, run_all
from tests.cli.test_errors import refused
from tests.secured.conftest import CERT_PASSWORD, TOPIC, Place

WRONG = "wr0ng-secret"

Change = Callable[[Place], dict[str, str]]


def no_cert(place: Place) -> dict[str, str]:
    return {name: value for name, value in place.mtls().items() if "_KEY" not in name and "_CERT" not in name}


def strangers_cert(place: Place) -> dict[str, str]:
    pair = place.stranger.issue("worker", ["worker.example"])
    return no_cert(place) | {"KPI_KAFKA_SSL_CERT": str(pair.cert), "KPI_KAFKA_SSL_KEY": str(pair.key)}


def plaintext(place: Place, brokers: str) -> dict[str, str]:
    return {"KPI_BROKERS": brokers, "KPI_KAFKA_SECURITY": "PLAINTEXT"}


KAFKA: dict[str, tuple[Change, str]] = {
    "wrong password": (
        lambda p: p.sasl("worker") | {"KPI_KAFKA_SASL_PASSWORD": WRONG},
        "does not let this user in: check KPI_KAFKA_SASL_USERNAME and KPI_KAFKA_SASL_PASSWORD",
    ),
    "wrong password, PLAIN": (
        lambda p: p.sasl("worker", "PLAIN") | {"KPI_KAFKA_SASL_PASSWORD": WRONG},
        "does not let this user in: check KPI_KAFKA_SASL_USERNAME",
    ),
    "unknown user": (
        lambda p: p.sasl("worker") | {"KPI_KAFKA_SASL_USERNAME": "nobody"},
        "does not let this user in: check KPI_KAFKA_SASL_USERNAME",
    ),
    "unknown CA": (
        lambda p: p.sasl("worker") | {"KPI_KAFKA_SSL_CA": str(p.stranger.ca)},
        "its certificate is not trusted: KPI_KAFKA_SSL_CA is to name the CA",
    ),
    "system's CAs": (
        lambda p: p.sasl("worker") | {"KPI_KAFKA_SSL_CA": "system"},
        "its certificate is not trusted: KPI_KAFKA_SSL_CA",
    ),
    "wrong host name": (
        lambda p: p.sasl("worker") | {"KPI_BROKERS": p.kafka.sasl.replace("localhost", "127.0.0.1")},
        "its certificate is another host's",
    ),
    "no certificate": (no_cert, "refuses our certificate|cut off at its start"),
    "a stranger's certificate": (strangers_cert, "refuses our certificate|cut off at its start"),
    "no TLS": (lambda p: plaintext(p, p.kafka.sasl), "cut off at its start: check KPI_KAFKA_SECURITY"),
    "TLS where there is none": (
        lambda p: p.sasl("worker") | {"KPI_BROKERS": p.kafka.bootstrap},
        "it speaks no TLS at that port: check KPI_KAFKA_SECURITY|cut off at its start",
    ),
    "SASL where there is none": (
        lambda p: p.sasl("worker") | p.mtls() | {"KPI_KAFKA_SECURITY": "SASL_SSL"},
        "or no SASL there",
    ),
    "no CA file": (
        lambda p: p.sasl("worker") | {"KPI_KAFKA_SSL_CA": "/none.pem"},
        "KPI_KAFKA_SSL_CA=/none.pem: No such",
    ),
    "no CA in the file": (
        lambda p: p.sasl("worker") | {"KPI_KAFKA_SSL_CA": str(p.worker.key)},
        "KPI_KAFKA_SSL_CA=.*: no certificates in PEM",
    ),
    "wrong key password": (
        lambda p: p.mtls() | {"KPI_KAFKA_SSL_KEY_PASSWORD": WRONG},
        "KPI_KAFKA_SSL_CERT=.*KPI_KAFKA_SSL_KEY_PASSWORD does not fit",
    ),
    "no key password": (
        lambda p: p.mtls() | {"KPI_KAFKA_SSL_KEY_PASSWORD": ""},
        "KPI_KAFKA_SSL_CERT=.*KPI_KAFKA_SSL_KEY_PASSWORD does not fit",
    ),
    "no key file": (
        lambda p: p.mtls() | {"KPI_KAFKA_SSL_KEY": "/none.key"},
        "KPI_KAFKA_SSL_KEY=/none.key: there is no",
    ),
}


def settings(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings, as from the environment."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return load()


@pytest.mark.parametrize(("change", "said"), KAFKA.values(), ids=KAFKA)
async def test_kafka_and_we_refuse_in_one_line(
    place: Place, change: Change, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names what to mend."""
    in_force = settings(change(place), monkeypatch)
    with pytest.raises(UserError, match=said) as error:
        async with admin(in_force):
            pass
    assert "\n" not in str(error.value)
    assert WRONG not in str(error.value)


async def test_the_shippers_own_connection_is_refused_in_one_line(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not go by way of the worker's."""
    in_force = settings(place.sasl("shipper") | {"KPI_KAFKA_SASL_PASSWORD": WRONG}, monkeypatch)
    with pytest.raises(UserError, match=r"can't be reached at localhost.*SaslAuthenticationFailed") as error:
        async with connect(connection(in_force), TOPIC):
            pass
    assert "\n" not in str(error.value)


def test_every_command_says_so_and_fails(place: Place, tmp_path: Path) -> None:
    """A wrong password for Kafka, and for Postgres."""
    (tmp_path / "access.log").write_text("x\n")
    more = place.others(tmp_path, TOPIC)
    kafka = place.sasl("worker") | {"KPI_KAFKA_SASL_PASSWORD": WRONG} | place.database() | more
    migrated, *_ = run_all([kpi("migrate")], tmp_path, kafka)
    assert migrated.code == 0, migrated.err
    for done in run_all([WORKER, kpi("ship", "../access.log"), kpi("reset", "--yes")], tmp_path, kafka):
        refused(done, f"^KPI_BROKERS={place.kafka.sasl}: it does not let this user in: check KPI_KAFKA_SASL_USERNAME")
        assert WRONG not in done.out + done.err
    url = place.postgres.url("kpi", WRONG, sslmode="verify-full", sslrootcert=place.authority.ca)
    postgres = place.sasl("worker") | {"KPI_DATABASE_URL": url} | more
    for done in run_all([WORKER, kpi("migrate"), kpi("report")], tmp_path, postgres):
        refused(done, "check user and password in KPI_DATABASE_URL")
        assert WRONG not in done.out + done.err


async def test_postgres_lets_in_who_proves_who_it_is(place: Place) -> None:
    """By password, and where it asks for one by certificate, too."""
    own = {"sslmode": "verify-full", "sslrootcert": place.authority.ca}
    cert = own | {"sslcert": place.worker.cert, "sslkey": place.worker.key}
    for user, password, how in (("kpi", place.postgres.password, own), ("kpi_cert", CERT_PASSWORD, cert)):
        async with Database(place.postgres.url(user, password, **how)) as database, database.session() as session:
            [row] = await session.fetch(
                "SELECT usename, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE pid = pg_backend_pid()"
            )
        assert tuple(row) == (user, True)


POSTGRES: dict[str, tuple[dict[str, str], str]] = {
    "unknown CA": (
        {"sslrootcert": "{strangers_ca}"},
        "its certificate is not trusted: sslrootcert in KPI_DATABASE_URL",
    ),
    "wrong host name": ({"host": "127.0.0.1"}, "its certificate is another host's"),
    "no TLS": ({"sslmode": "disable"}, "does not let this user in: check user and password"),
    "no CA named": ({"sslrootcert": ""}, "sslmode=verify-full needs sslrootcert=FILE"),
    "no CA file": ({"sslrootcert": "/none.pem"}, "KPI_DATABASE_URL: sslrootcert=/none.pem: No such file"),
    "no CA in the file": ({"sslrootcert": "{key}"}, "KPI_DATABASE_URL: sslrootcert=.*: not what it should be"),
    "no certificate": ({"user": "kpi_cert"}, "does not let this user in.*certificate"),
    "no certificate file": ({"sslcert": "/none.pem"}, "KPI_DATABASE_URL: sslcert=/none.pem: No such file"),
    "no key file": ({"sslcert": "{cert}", "sslkey": "/none.key"}, "KPI_DATABASE_URL: sslkey=/none.key: No such file"),
    "no such mode": ({"sslmode": "verify_everything"}, "KPI_DATABASE_URL: sslmode='verify_everything' is none of"),
}


@pytest.mark.parametrize(("change", "said"), POSTGRES.values(), ids=POSTGRES)
async def test_postgres_and_we_refuse_in_one_line(
    place: Place, change: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names what to mend."""
    monkeypatch.setenv("HOME", str(tmp_path))  # libpq looks there for certificates, too
    files = {"strangers_ca": place.stranger.ca, "key": place.worker.key, "cert": place.worker.cert}
    given = {"sslmode": "verify-full", "sslrootcert": str(place.authority.ca), "user": "kpi", "host": "localhost"}
    given |= {name: value.format(**files) for name, value in change.items()}
    user, host = given.pop("user"), given.pop("host")
    password = CERT_PASSWORD if user == "kpi_cert" else place.postgres.password
    with pytest.raises(UserError, match=said) as error:
        await check_connection(place.postgres.url(user, password, host, **given))
    assert "\n" not in str(error.value)
    assert password not in str(error.value)
