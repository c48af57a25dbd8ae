"""Settings: read from the environment, checked once, and never showing a secret."""

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from kpi_app import names
from kpi_app import settings as settings_of
from kpi_app.database_url import without_password
from kpi_app.errors import UserError
from kpi_app.feeds.base import Reading
from kpi_app.settings import Settings, default, environment, load, shown

ROOT = Path(__file__).parent.parent
#: Where settings are documented.
PAGES = (ROOT / "docs" / "settings.md", ROOT / "docs" / "security.md")


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"KPI_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def test_durations_are_read_with_their_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A duration takes s, m, h and d, and is kept in seconds."""
    monkeypatch.setenv("KPI_GRACE", "2m")
    monkeypatch.setenv("KPI_WINDOWS", "10s,1m,1d")
    monkeypatch.setenv("KPI_CORRECT_FOR", "7d")
    monkeypatch.setenv("KPI_KEEP", "400d")
    in_force = load()
    assert (in_force.grace, in_force.windows, in_force.correct_for) == (120, (10, 60, 86_400), 604_800)
    assert in_force.keep == 400 * 86_400


def test_dotenv_is_read(tmp_path: Path) -> None:
    """A `.env` beside the command sets what the environment does not."""
    (tmp_path / ".env").write_text("export KPI_TOPIC='other-log'\n")
    assert load().topic == "other-log"


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("KPI_GRACE", "soon", "30s, 1m, 2h or 7d"),
        ("KPI_GRACE", "-5s", "30s, 1m, 2h or 7d"),
        ("KPI_WINDOWS", "5m,1h", "1s to 1m"),
        ("KPI_WINDOWS", "1m,90s", "multiple"),
        ("KPI_WINDOWS", "1m,1m", "multiple"),
        ("KPI_WINDOWS", "0s,1m", "1s to 1m"),
        ("KPI_BROKERS", "localhost", "host:port"),
        ("KPI_BROKERS", "localhost:http", "host:port"),
        ("KPI_TOPIC", "access log", "a-z A-Z 0-9"),
        ("KPI_WEB_PORT", "70000", "65535"),
        ("KPI_LOG_FORMAT", "iis", "auto"),
        ("KPI_EMIT_EVERY", "0s", "greater than or equal to 1"),
        ("KPI_TRUSTED_PROXIES", "10.0.0.0/33", "10.0.0.0/8"),
        ("KPI_TRUSTED_PROXIES", "proxy.example", "10.0.0.0/8"),
        ("KPI_ANONYMISE_IP", "maybe", "on or off"),
        ("KPI_TOP", "0", "greater than or equal to 1"),
        ("KPI_TOP", "1001", "less than or equal to 1000"),
        ("KPI_KEEP", "a year", "30s, 1m, 2h or 7d"),
    ],
)
def test_a_wrong_value_says_name_value_and_what_is_right(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, right: str
) -> None:
    """One line that names the setting, its value, and what would be right."""
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as refused:
        load()
    line = str(refused.value)
    assert "\n" not in line
    assert line.startswith(f"{name}=")
    assert value in line
    assert right in line


def test_each_wrong_setting_gets_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two mistakes are told at once."""
    monkeypatch.setenv("KPI_GRACE", "soon")
    monkeypatch.setenv("KPI_TOPIC", "a b")
    with pytest.raises(UserError) as refused:
        load()
    assert [line.split("=")[0] for line in str(refused.value).splitlines()] == ["KPI_TOPIC", "KPI_GRACE"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KPI_GRACES", "KPI_GRACE"),
        ("KPI_BROKER", "KPI_BROKERS"),
        ("KPI_DATABASE", "KPI_DATABASE_URL"),
        ("kpi_databse_url", "KPI_DATABASE_URL"),
    ],
)
@pytest.mark.parametrize("in_file", [False, True], ids=["environment", "dotenv"])
def test_a_misspelt_name_is_not_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, meant: str, in_file: bool
) -> None:
    """A name that is almost a setting's stops the start, with the name that was meant."""
    if in_file:
        (tmp_path / ".env").write_text(f"{name}=1\n")
    else:
        monkeypatch.setenv(name, "1")
    with pytest.raises(UserError, match=f"^{name.upper()}: .*did you mean {meant}\\?$"):
        load()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("KPI_KAFKA_BROKERS", "did you mean KPI_BROKERS?"),
        ("KPI_DB_URL", "did you mean KPI_DATABASE_URL?"),
        ("KPI_POSTGRES_URL", "there is no such setting"),
        ("KPI_RETENTION", "there is no such setting"),
        ("KPI_FOOBAR", "`kpi settings` lists all"),
    ],
)
def test_a_name_that_nobody_knows_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, said: str
) -> None:
    """It may be another program's, so the start goes on; its value may be a secret."""
    names._warn.cache_clear()
    monkeypatch.setenv(name, "s3cret")
    assert load() == load()
    [line] = caplog.messages
    assert line.startswith(f"{name}: ")
    assert said in line
    assert "s3cret" not in line


def test_names_that_are_known_are_not_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The log file of the Procfile and of Fluent Bit, what tests are given, and Kubernetes' names of services."""
    names._warn.cache_clear()
    for name in (
        *("KPI_LOG_FILE", "KPI_TEST_BROKERS", "KPI_TEST_DATABASE_URL", "KPI_WEB_TOKEN_FILE"),
        *("KPI_WORKER_SERVICE_HOST", "KPI_WORKER_SERVICE_PORT", "KPI_WORKER_SERVICE_PORT_WEB", "KPI_WORKER_PORT"),
        *("KPI_WORKER_PORT_6066_TCP", "KPI_WORKER_PORT_6066_TCP_ADDR", "MY_KPI_FOO"),
    ):
        monkeypatch.setenv(name, "access.log" if name != "KPI_WEB_TOKEN_FILE" else "")
    assert load().log_format == "auto"
    assert caplog.messages == []


def test_names_that_this_repository_uses_are_known() -> None:
    """What its files of deployment pass to workers is not told: one file of settings may serve several programs."""
    files = [path for part in ("deploy", "fluent-bit") for path in (ROOT / part).rglob("*") if path.is_file()]
    text = "".join(path.read_text() for path in [*files, ROOT / "Makefile", ROOT / "Procfile"])
    used = set(re.findall(r"\bKPI_[A-Z_]*[A-Z]\b", text))
    known = {f"KPI_{name.upper()}" for name in Settings.model_fields}
    known |= {f"{name}_FILE" for name in known}
    assert len(used) > 15
    assert names.unknown(used, known) == []


def test_the_password_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the listing nor a representation shows it."""
    monkeypatch.setenv("KPI_DATABASE_URL", "postgresql://kpi:s3cr%40t@db.example:5433/kpi?sslmode=require")
    in_force = load()
    assert shown(in_force, "database_url") == "postgresql://kpi:***@db.example:5433/kpi?sslmode=require"
    assert "s3cr" not in repr(in_force)
    assert without_password("postgresql://kpi@db/kpi") == "postgresql://kpi@db/kpi"


def test_how_lines_are_read_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies, anonymising and the key reach those who read lines."""
    assert load().reading == Reading()
    monkeypatch.setenv("KPI_LOG_FORMAT", "json")
    monkeypatch.setenv("KPI_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::1")
    monkeypatch.setenv("KPI_ANONYMISE_IP", "off")
    monkeypatch.setenv("KPI_VISITOR_KEY", "0123456789abcdef")
    networks = (ip_network("10.0.0.0/8"), ip_network("2001:db8::1/128"))
    assert load().reading == Reading("json", networks, False, b"0123456789abcdef")
    assert shown(load(), "trusted_proxies") == "10.0.0.0/8,2001:db8::1/128"
    assert (default("trusted_proxies"), default("anonymise_ip")) == ("none", "on")


def test_the_visitor_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a good one nor a wrong one; where none is set, it says where it comes from."""
    assert shown(load(), "visitor_key") == "made once and kept in the database"
    monkeypatch.setenv("KPI_VISITOR_KEY", "s3cret-of-sixteen")
    in_force = load()
    assert shown(in_force, "visitor_key") == "***"
    assert "s3cret" not in repr(in_force) + repr(in_force.reading)
    monkeypatch.setenv("KPI_VISITOR_KEY", "s3cret")
    with pytest.raises(UserError, match=r"^KPI_VISITOR_KEY=.*at least 16 characters") as refused:
        load()
    assert "s3cret" not in str(refused.value)


def test_the_environment_made_of_settings_gives_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker of the demo is handed is what the demo was started with."""
    monkeypatch.setenv("KPI_WINDOWS", "30s,1h")
    monkeypatch.setenv("KPI_CORRECT_FOR", "90s")
    monkeypatch.setenv("KPI_DATABASE_URL", "postgresql://kpi:secret@db/kpi")
    monkeypatch.setenv("KPI_VISITOR_KEY", "0123456789abcdef")
    monkeypatch.setenv("KPI_TRUSTED_PROXIES", "10.0.0.0/8")
    monkeypatch.setenv("KPI_ANONYMISE_IP", "off")
    first = load()
    for name, value in environment(first).items():
        monkeypatch.setenv(name, value)
    assert load() == first


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_described(name: str) -> None:
    """A setting has a description and a default that can be shown, and a page of the documentation names it."""
    assert Settings.model_fields[name].description
    assert default(name)
    assert any(re.search(rf"\bKPI_{name.upper()}\b", page.read_text()) for page in PAGES)


def test_every_duration_is_shown_as_it_is_set() -> None:
    """The listing speaks the notation that the settings take."""
    in_force = settings_of.Settings()
    assert shown(in_force, "grace") == "1m"
    assert shown(in_force, "windows") == "1m,1h,1d"
    assert shown(in_force, "correct_for") == "forever"
