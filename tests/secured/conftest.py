"""A Kafka and a Postgres that are closed to strangers, once for this room, and the settings that open them."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kpi_app.local.ports import free_port
from tests.secured.certificates import KEY_PASSWORD, Authority, Pair
from tests.secured.servers import ROLES, STRANGER, SecuredKafka, SecuredPostgres

ACLS = Path(__file__).parents[2] / "deploy" / "kafka" / "acls.sh"
TOPIC = "secured"
PASSWORDS = {name: f"{name}-pa55word" for name in (*ROLES, STRANGER)}
CERT_PASSWORD = "cert-pa55word"  # noqa: S105  a made-up one


@dataclass
class Place:
    """The two servers, and how to get in."""

    kafka: SecuredKafka
    postgres: SecuredPostgres
    authority: Authority
    stranger: Authority  # that nobody trusts
    worker: Pair  # for Postgres, whose user it names
    encrypted: Pair  # for Kafka

    def sasl(self, user: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """Settings for a user with a password."""
        return {
            "KPI_BROKERS": self.kafka.sasl,
            "KPI_KAFKA_SECURITY": "SASL_SSL",
            "KPI_KAFKA_SASL_MECHANISM": mechanism,
            "KPI_KAFKA_SASL_USERNAME": user,
            "KPI_KAFKA_SASL_PASSWORD": PASSWORDS[user],
            "KPI_KAFKA_SSL_CA": str(self.authority.ca),
        }

    def mtls(self) -> dict[str, str]:
        """Settings for the worker with a certificate."""
        return {
            "KPI_BROKERS": self.kafka.ssl,
            "KPI_KAFKA_SECURITY": "SSL",
            "KPI_KAFKA_SSL_CA": str(self.authority.ca),
            "KPI_KAFKA_SSL_CERT": str(self.encrypted.cert),
            "KPI_KAFKA_SSL_KEY": str(self.encrypted.key),
            "KPI_KAFKA_SSL_KEY_PASSWORD": KEY_PASSWORD,
        }

    def database(self) -> dict[str, str]:
        """Settings for Postgres: verify-full, with a password."""
        ca = self.authority.ca
        return {
            "KPI_DATABASE_URL": self.postgres.url("kpi", self.postgres.password, sslmode="verify-full", sslrootcert=ca)
        }

    def others(self, directory: Path, topic: str) -> dict[str, str]:
        """What a command needs beside that."""
        return {
            "KPI_TOPIC": topic,
            "KPI_DATA_DIR": str(directory / "data"),
            "KPI_WEB_PORT": str(free_port()),
            "KPI_IDLE_AFTER": "1s",
        }

    def grant(self, topic: str, **principals: str) -> None:
        """Run the project's script of ACLs, with Kafka's own tool."""
        env = {
            "PATH": os.environ["PATH"],
            "KAFKA_ACLS": str(self.kafka.acls_tool()),
            "KPI_BROKERS": self.kafka.bootstrap,
            "KPI_TOPIC": topic,
        }
        done = subprocess.run(
            ["sh", str(ACLS)], env=env | principals, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Both servers, with their users, and with the rights of `deploy/kafka/acls.sh` for `TOPIC`."""
    directory = tmp_path_factory.mktemp("secured")
    authority = Authority(directory / "certificates")
    postgres = SecuredPostgres(directory / "postgres", authority)
    with SecuredKafka(directory / "kafka", authority, PASSWORDS) as kafka, postgres:
        kafka.add_users()
        postgres.add_user("kpi_cert", CERT_PASSWORD)
        place = Place(
            kafka,
            postgres,
            authority,
            Authority(directory / "stranger"),
            authority.issue("kpi_cert", ["reader.example"]),
            authority.issue("worker", ["worker.example"], KEY_PASSWORD),
        )
        place.grant(TOPIC, **{role.upper(): f"User:{role}" for role in ROLES})
        yield place
