"""A Kafka and a Postgres that let nobody in who has not proved who they are, over TLS."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from kpi_app.local.kafka import EmbeddedKafka, _java_binary
from kpi_app.local.kept import Order
from kpi_app.local.ports import free_port
from kpi_app.local.postgres import DATABASE, EmbeddedPostgres
from tests.conftest import connected
from tests.secured.certificates import Authority
from tests.secured.parts import acls_tool, postgres_with_tls

ROLES = ("worker", "shipper", "operator", "reader", "replayer")
STRANGER = "stranger"

_LISTENERS = """
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{ssl}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://localhost:{sasl},SSL://localhost:{ssl}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
inter.broker.listener.name=PLAINTEXT

ssl.keystore.type=PEM
ssl.keystore.location={store}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.ssl.ssl.client.auth=required
listener.name.sasl_ssl.ssl.client.auth=none
ssl.principal.mapping.rules=RULE:^.*CN=([^,]+).*$/$1/,DEFAULT

sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required {users};

# The broker itself, and the test as its administrator, come by PLAINTEXT on loopback.
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=false
"""


class SecuredKafka(EmbeddedKafka):
    """SCRAM and PLAIN over TLS at `sasl`, mTLS at `ssl`, an authorizer behind both."""

    def __init__(self, directory: Path, authority: Authority, passwords: Mapping[str, str]) -> None:
        super().__init__(directory)
        self._authority = authority
        self._passwords = passwords
        self._sasl, self._ssl = free_port(), free_port()
        server = authority.issue("kafka", ["localhost"])
        self._store = authority.directory / "kafka-store.pem"
        self._store.write_bytes(server.key.read_bytes() + server.cert.read_bytes())

    @property
    def sasl(self) -> str:
        """The listener that asks for user and password, by the name in its certificate."""
        return f"localhost:{self._sasl}"

    @property
    def ssl(self) -> str:
        """The listener that asks for a certificate."""
        return f"localhost:{self._ssl}"

    def _write_properties(self, data: Path) -> None:
        super()._write_properties(data)
        text = self._properties.read_text()
        values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
        port, controller = (listener.rsplit(":", 1)[1] for listener in values["listeners"].split(","))
        kept = [line for line in text.splitlines() if not line.startswith(("listeners=", "advertised.", "listener."))]
        users = " ".join(f'user_{name}="{password}"' for name, password in self._passwords.items())
        more = _LISTENERS.format(
            port=port,
            controller=controller,
            sasl=self._sasl,
            ssl=self._ssl,
            store=self._store,
            ca=self._authority.ca,
            users=users,
        )
        self._properties.write_text("\n".join(kept) + more)

    @cached_property
    def _admin(self) -> AdminClient:
        """The test as an administrator; kept, for what it was asked ends with it."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def add_users(self) -> None:
        """Let the users in by SCRAM."""
        admin = self._admin
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):  # not both in one request
            told = ScramCredentialInfo(mechanism, 4096)
            users = [UserScramCredentialUpsertion(name, told, word.encode()) for name, word in self._passwords.items()]
            for done in admin.alter_user_scram_credentials(users).values():
                done.result(30)

    def make(self, topic: str, partitions: int) -> None:
        """Make a topic, as an administrator."""
        admin = self._admin
        for done in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            done.result(30)

    def delete(self, topic: str) -> None:
        """Delete a topic, as an administrator."""
        admin = self._admin
        for done in admin.delete_topics([topic]).values():
            done.result(30)

    def rights(self, user: str) -> list[AclBinding]:
        """What a user may."""
        found: list[AclBinding] = self._admin.describe_acls(_all_of(user)).result(30)
        return found

    def give(self, user: str, rights: Sequence[AclBinding], to_see: Sequence[AclBinding] = ()) -> None:
        """Let a user do this, and see that, and nothing else."""
        own = [_of(user, right, right.operation) for right in rights]
        own += [_of(user, right, AclOperation.DESCRIBE) for right in to_see]
        for done in self._admin.delete_acls([_all_of(user)]).values():
            done.result(30)
        for done in self._admin.create_acls(own).values() if own else ():
            done.result(30)

    def acls_tool(self) -> Path:
        """Kafka's kafka-acls.sh."""
        return acls_tool(self.directory, _java_binary())


def _of(user: str, right: AclBinding, operation: AclOperation) -> AclBinding:
    """The right as that of a user, to do something else with it."""
    what = (right.restype, right.name, right.resource_pattern_type)
    return AclBinding(*what, f"User:{user}", right.host, operation, right.permission_type)


def _all_of(user: str) -> AclBindingFilter:
    anything = (ResourceType.ANY, None, ResourcePatternType.ANY)
    return AclBindingFilter(*anything, f"User:{user}", None, AclOperation.ANY, AclPermissionType.ANY)


class SecuredPostgres(EmbeddedPostgres):
    """Lets users in over TLS only: by SCRAM, `kpi_cert` by a certificate of its name, too."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        super().__init__(directory, durable=False, binaries=postgres_with_tls())
        self._authority = authority
        self._server = authority.issue("postgres", ["localhost"])

    def _order(self) -> Order:
        self._private().mkdir(exist_ok=True)
        files = {"server.crt": self._server.cert, "server.key": self._server.key, "ca.crt": self._authority.ca}
        for name, source in files.items():
            self._give(name, source.read_bytes())
        rules = "hostssl all kpi_cert all scram-sha-256 clientcert=verify-full\nhostssl all all all scram-sha-256\n"
        self._give("pg_hba.conf", rules.encode())
        order = super()._order()
        own = self._private()
        options = {
            "ssl": "on",
            "ssl_cert_file": own / "server.crt",
            "ssl_key_file": own / "server.key",
            "ssl_ca_file": own / "ca.crt",
            "hba_file": own / "pg_hba.conf",
        }
        return replace(order, argv=(*order.argv, *(p for k, v in options.items() for p in ("-c", f"{k}={v}"))))

    def _private(self) -> Path:
        return self.directory / "tls"

    def _give(self, name: str, content: bytes) -> None:
        path = self._private() / name
        path.write_bytes(content)
        path.chmod(0o600)
        if self._account:
            self._account.own(path)

    def url(self, user: str, password: str, host: str = "localhost", **parameters: str | Path) -> str:
        """The URL of the database for a user."""
        query = "&".join(f"{name}={quote(str(value))}" for name, value in parameters.items())
        return f"postgresql://{user}:{quote(password)}@{host}:{self.port}/{DATABASE}?{query}"

    def add_user(self, name: str, password: str) -> None:
        """Add a user who may do in the database what its owner may."""
        asyncio.run(self._add_user(name, password))

    async def _add_user(self, name: str, password: str) -> None:
        url = self.url("kpi", self.password, sslmode="verify-full", sslrootcert=self._authority.ca)
        async with connected(url) as connection:
            await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE kpi")
