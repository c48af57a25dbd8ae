"""Secrets come from the environment or from files and are never shown; settings of security that contradict each other
stop the start."""

from pathlib import Path

import pytest

from kpi_app.errors import UserError
from kpi_app.settings import SECRETS, Settings, default, environment, load, shown

SECRET = "s3cret-of-twenty-three"  # noqa: S105  a made-up one
URL = f"postgresql://kpi:{SECRET}@db/kpi"


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def given(name: str) -> str:
    """A value for a secret."""
    return URL if name == "database_url" else SECRET


@pytest.fixture
def sasl(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of Kafka."""
    monkeypatch.setenv("KPI_KAFKA_SECURITY", "sasl_ssl")
    monkeypatch.setenv("KPI_KAFKA_SASL_USERNAME", "kpi")


def test_what_is_secret_is_known() -> None:
    """A new secret is one by its type."""
    assert {
        "database_url",
        "visitor_key",
        "kafka_sasl_password",
        "kafka_ssl_key_password",
        "web_password",
        "web_token",
    } == SECRETS


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize("way", ["environment", "file"])
@pytest.mark.usefixtures("sasl")
def test_a_secret_is_read_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, way: str) -> None:
    """From the environment, or from the file that `KPI_…_FILE` names, its last line break aside."""
    monkeypatch.setenv("KPI_KAFKA_SASL_PASSWORD", "x")
    monkeypatch.delenv(f"KPI_{name.upper()}", raising=False)
    if way == "environment":
        monkeypatch.setenv(f"KPI_{name.upper()}", given(name))
    else:
        (tmp_path / "secret").write_text(f"{given(name)}\n")
        monkeypatch.setenv(f"KPI_{name.upper()}_FILE", str(tmp_path / "secret"))
    in_force = load()
    assert getattr(in_force, name).get_secret_value() == given(name)
    assert SECRET not in shown(in_force, name) + repr(in_force)
    assert "***" in shown(in_force, name)
    assert environment(in_force)[f"KPI_{name.upper()}"] == given(name)


def test_a_secret_that_is_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It could be either."""
    (tmp_path / "secret").write_text(SECRET)
    monkeypatch.setenv("KPI_WEB_TOKEN", SECRET)
    (tmp_path / ".env").write_text(f"KPI_WEB_TOKEN_FILE={tmp_path}/secret\n")
    with pytest.raises(UserError, match="KPI_WEB_TOKEN and KPI_WEB_TOKEN_FILE are both set") as error:
        load()
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none", "No such file"), (".", "Is a directory"), ("b", "not a file of"), ("empty", "it is empty")],
)
def test_a_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, reason: str
) -> None:
    """With its setting and the reason."""
    (tmp_path / "b").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_text(" \n\n")  # or no secret would be asked for
    monkeypatch.setenv("KPI_WEB_TOKEN_FILE", name)
    with pytest.raises(UserError, match=f"^KPI_WEB_TOKEN_FILE={name}: {reason}"):
        load()


def test_what_is_no_secret_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt name is told, also one of a file."""
    monkeypatch.setenv("KPI_WEB_TOKENS_FILE", "x")
    with pytest.raises(UserError, match=r"did you mean KPI_WEB_TOKEN_FILE\?"):
        load()


@pytest.mark.parametrize(("name", "length"), [("WEB_PASSWORD", 8), ("WEB_TOKEN", 16), ("VISITOR_KEY", 16)])
def test_a_short_secret_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str, length: int) -> None:
    """It could be guessed."""
    monkeypatch.setenv(f"KPI_{name}", "x" * (length - 1))
    with pytest.raises(UserError, match=rf"^KPI_{name}=\(hidden\): at least {length} characters") as error:
        load()
    assert "xxx" not in str(error.value)
    monkeypatch.setenv(f"KPI_{name}", "x" * length)
    load()


CONTRADICTIONS = [
    ({"KPI_KAFKA_SECURITY": "tls"}, "KPI_KAFKA_SECURITY='tls': one of: PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
    ({"KPI_KAFKA_SASL_MECHANISM": "GSSAPI"}, "KPI_KAFKA_SASL_MECHANISM='GSSAPI': one of: SCRAM-SHA-512, SCRAM"),
    ({"KPI_KAFKA_SECURITY": "SASL_SSL"}, "SASL_SSL: needs KPI_KAFKA_SASL_USERNAME and KPI_KAFKA_SASL_PASSWORD"),
    (
        {
            "KPI_KAFKA_SECURITY": "SASL_PLAINTEXT",
            "KPI_KAFKA_SASL_MECHANISM": "PLAIN",
            "KPI_KAFKA_SASL_USERNAME": "kpi",
            "KPI_KAFKA_SASL_PASSWORD": SECRET,
        },
        "SASL_PLAINTEXT: PLAIN would send the password as it is",
    ),
    ({"KPI_KAFKA_SECURITY": "SSL", "KPI_KAFKA_SSL_KEY": "/k"}, "KPI_KAFKA_SSL_KEY=/k: needs KPI_KAFKA_SSL_CERT"),
    ({"KPI_KAFKA_SASL_PASSWORD": SECRET}, "KPI_KAFKA_SASL_PASSWORD is set and KPI_KAFKA_SECURITY is not"),
    ({"KPI_KAFKA_SSL_CA": "/ca.pem"}, "KPI_KAFKA_SSL_CA is set and KPI_KAFKA_SECURITY is not"),
    *(
        (
            {"KPI_KAFKA_SECURITY": said, "KPI_KAFKA_SASL_USERNAME": "kpi", "KPI_KAFKA_SASL_PASSWORD": SECRET},
            f"KPI_KAFKA_SECURITY={said}: takes no KPI_KAFKA_SASL_USERNAME, KPI_KAFKA_SASL_PASSWORD: say SASL_SSL",
        )
        for said in ("PLAINTEXT", "SSL")
    ),
    (
        {"KPI_KAFKA_SECURITY": "SSL", "KPI_KAFKA_SASL_MECHANISM": "PLAIN"},
        "SSL: takes no KPI_KAFKA_SASL_MECHANISM: say SASL_SSL",
    ),
    ({"KPI_KAFKA_SECURITY": "PLAINTEXT", "KPI_KAFKA_SSL_CA": "/c"}, "PLAINTEXT: takes no KPI_KAFKA_SSL_CA: say SSL"),
    ({"KPI_KAFKA_SECURITY": "PLAINTEXT", "KPI_KAFKA_SSL_CERT": "/c"}, "takes no KPI_KAFKA_SSL_CERT: say SSL"),
    (
        {
            "KPI_KAFKA_SECURITY": "SASL_PLAINTEXT",
            "KPI_KAFKA_SASL_USERNAME": "kpi",
            "KPI_KAFKA_SASL_PASSWORD": SECRET,
            "KPI_KAFKA_SSL_CA": "/c",
        },
        "SASL_PLAINTEXT: takes no KPI_KAFKA_SSL_CA: say SSL or SASL_SSL",
    ),
    ({"KPI_WEB_USER": "a:b"}, "KPI_WEB_USER='a:b'"),
]


@pytest.mark.parametrize(("settings", "said"), CONTRADICTIONS)
def test_what_would_be_less_secure_than_it_seems_is_refused(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str
) -> None:
    """In one line, without the secret."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as error:
        load()
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert SECRET not in str(error.value)


@pytest.mark.usefixtures("sasl")
def test_the_environment_made_of_settings_gives_the_same_security(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker of the demo is handed its files whatever directory it works in, and what is not set stays unset."""
    monkeypatch.setenv("KPI_KAFKA_SASL_PASSWORD", SECRET)
    monkeypatch.setenv("KPI_KAFKA_SSL_CA", "ca.pem")
    first = load()
    assert first.kafka_ssl_ca == tmp_path / "ca.pem"
    assert (first.kafka_security, first.kafka_ssl_cert) == ("SASL_SSL", None)
    for name, value in environment(first).items():
        monkeypatch.setenv(name, value)
    assert load() == first
    for name, value in environment(Settings()).items():
        monkeypatch.setenv(name, value)
    assert load() == Settings()
    assert (default("kafka_ssl_ca"), default("kafka_ssl_cert"), default("kafka_sasl_username")) == (
        *("system", "none", "none"),
    )
