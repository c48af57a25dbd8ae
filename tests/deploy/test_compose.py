"""deploy/compose.yaml, Dockerfile and `make env`: as far as they can be checked where no container runs."""

import fnmatch
import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from kpi_app.local import kafka
from kpi_app.settings import Settings, default, load
from kpi_app.stream.topics import Names
from tests.deploy.conftest import DEPLOY

ROOT = DEPLOY.parent
TEXT = (DEPLOY / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKERS = [name for name in SERVICES if name.startswith("worker")]
ONE_SHOT = {"volumes", "migrate", "grants"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def mounts(name: str) -> list[tuple[str, str, set[str]]]:
    """Source, target and options of each volume of a service, from the short and from the long form."""
    return [
        (it["source"], it["target"], set(it["volume"]))
        if isinstance(it, dict)
        else (it.split(":")[0], it.split(":")[1], set(it.split(":")[2:]))
        for it in SERVICES[name].get("volumes", [])
    ]


def passwords(env: Path) -> dict[str, str]:
    """What a .env holds."""
    return dict(line.split("=", 1) for line in env.read_text().splitlines())


def make_env(env: Path) -> subprocess.CompletedProcess[str]:
    """What `make env` runs, for another file."""
    command = ["sh", str(DEPLOY / "make-env"), str(env)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def filled_in(text: str, given: dict[str, str]) -> str:
    """A text with its variables as compose fills them in."""

    def value(match: re.Match[str]) -> str:
        name, otherwise = match[1], match[2] or ""
        assert name in given or otherwise.startswith(":-"), f"{name} has no value"
        return given.get(name, otherwise.removeprefix(":-"))

    return re.sub(r"(?<!\$)\$\{(\w+)(:[-?][^}]*)?\}", value, text)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The passwords that `make env` makes."""
    make_env(tmp_path / ".env")
    return passwords(tmp_path / ".env")


def test_it_is_a_compose_file(env: dict[str, str]) -> None:
    """By the specification: no key or value that it does not know, and every variable has a value."""
    compose_spec.PyCompose.from_json(json.dumps(yaml.safe_load(filled_in(TEXT, env))))


@pytest.mark.parametrize("spoil", ["prots", "healthcheck", "restart"])
def test_the_specification_would_notice(spoil: str) -> None:
    """That the check above can fail."""
    wrong = {"prots": ["1:1"], "healthcheck": {"tset": ["CMD"]}, "restart": "sometimes"}
    with pytest.raises(ValueError, match=r"tset|prots|sometimes"):
        compose_spec.PyCompose.from_json(json.dumps({"services": {"it": {"image": "it", spoil: wrong[spoil]}}}))


def test_passwords_are_generated_once(tmp_path: Path) -> None:
    """Long, different, in a file for its owner only; a second run changes none and adds those that are missing."""
    env = tmp_path / ".env"
    made = make_env(env)
    first = passwords(env)
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert len(set(first.values())) == len(first) == 8
    assert all(re.fullmatch(r"Kp1[0-9a-f]{48}", it) for it in first.values())
    assert not any(it in made.stdout + made.stderr for it in first.values())
    env.write_text("\n".join(env.read_text().splitlines()[1:]) + "\nMINE=1")  # no newline at its end
    make_env(env)
    again = passwords(env)
    assert again.keys() == first.keys() | {"MINE"}
    assert [name for name in first if again[name] != first[name]] == ["POSTGRES_PASSWORD"]
    assert again["MINE"] == "1"
    before = env.read_bytes()
    make_env(env)
    assert env.read_bytes() == before


def test_make_env_makes_what_compose_asks_for(env: dict[str, str]) -> None:
    """No more and no less; and no password is anywhere else."""
    secrets = {it["environment"] for it in COMPOSE["secrets"].values()}
    assert secrets < set(re.findall(r"\$\{(\w+):\?run make env\}", TEXT)) == env.keys()
    assert "deploy/make-env" in (ROOT / "Makefile").read_text()
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN", key):
                assert re.fullmatch(r"\$\{\w+_(PASSWORD|TOKEN):\?run make env\}", value), (name, key)
    assert subprocess.run(["git", "check-ignore", "-q", "deploy/.env"], cwd=ROOT, check=False).returncode == 0


def test_settings_are_ours_and_right(env: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What workers and migrate are given, `load` takes."""
    monkeypatch.chdir(tmp_path)
    for name in (*WORKERS, "migrate"):
        given = {key: filled_in(it, env) for key, it in SERVICES[name]["environment"].items()}
        assert {key.removeprefix("KPI_").lower() for key in given} <= Settings.model_fields.keys()
        with monkeypatch.context() as context:
            for key, value in given.items():
                context.setenv(key, value)
            in_force = load()
        assert in_force.topic == SERVICES["fluent-bit"]["environment"]["KPI_TOPIC"]
        host, port = in_force.database_url.get_secret_value().rpartition("@")[2].removesuffix("/kpi").split(":")
        assert (host, port) == ("postgres", "5432")
        if name in WORKERS:
            assert in_force.brokers == SERVICES["fluent-bit"]["environment"]["KPI_BROKERS"] == "kafka:9092"
    assert Names("access-log").rejected == "access-log-rejected"


def test_roles_are_those_that_are_made() -> None:
    """Owner, writer and reader, each where it belongs."""
    roles = set(re.findall(r"'(kpi_\w+)'", (DEPLOY / "postgres/roles.sql").read_text()))
    used = {name: set(re.findall(r"kpi_(?:owner|writer|reader)", json.dumps(it))) for name, it in SERVICES.items()}
    assert roles == {"kpi_owner", "kpi_writer", "kpi_reader"}
    assert {name: it for name, it in used.items() if it} == {
        **{worker: {"kpi_writer"} for worker in WORKERS},
        "migrate": {"kpi_owner"},
        "grants": {"kpi_owner"},
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardened(name: str) -> None:
    """Not root, no capabilities, no new ones, one version, ports on loopback."""
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-[\w.]+)?", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    if name == "volumes":  # gives directories away, and is gone
        assert (service["cap_add"], service["network_mode"]) == (["CHOWN"], "none")
    elif "build" in service:
        assert "user" not in service  # the image's
        assert service["read_only"]
    else:
        assert int(service["user"].split(":")[0]) > 0
    if name != "volumes":
        assert "cap_add" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_can_happen(name: str) -> None:
    """A healthy one has a check, and one that ends is not restarted."""
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no"
    # no shell and no client are in the image of fluent-bit; nobody waits for either
    if name not in ONE_SHOT | {"fluent-bit", "traffic"}:
        assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


def test_what_is_mounted_is_there() -> None:
    """Files that are named exist, volumes are declared, and every worker has one of its own."""
    named: dict[str, list[str]] = {}
    for name in SERVICES:
        for source, _, _ in mounts(name):
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
            else:
                named.setdefault(source, []).append(name)
    assert named.keys() == COMPOSE["volumes"].keys()
    assert {tuple(named[worker]) for worker in WORKERS} == {(worker,) for worker in WORKERS}
    assert all(f"{worker}:/data" in SERVICES[worker]["volumes"] for worker in WORKERS)


def test_fluent_bit_reads_what_nginx_writes() -> None:
    """The same file of the same volume, in the format that fluent-bit/ hands out; its state stays in a volume."""
    shipper, site = SERVICES["fluent-bit"], (DEPLOY / "site/nginx.conf").read_text()
    log = shipper["environment"]["KPI_LOG_FILE"]
    [written] = re.findall(r"access_log (/\S+) kpi;", site)
    assert Path(written).name == Path(log).name
    assert f"logs:{Path(written).parent}" in SERVICES["nginx"]["volumes"]
    assert f"logs:{Path(log).parent}:ro" in shipper["volumes"]
    assert "log_format kpi '" in (ROOT / "fluent-bit/nginx-log-format.conf").read_text()
    assert {"../fluent-bit:/fluent-bit/etc:ro", "fluent-bit:/var/lib/fluent-bit"} < set(shipper["volumes"])
    assert shipper["command"][-1] == "/fluent-bit/etc/fluent-bit.yaml"
    given = (ROOT / "fluent-bit/fluent-bit.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+)\}", given)) == shipper["environment"].keys()
    [service, pipeline] = (yaml.safe_load(given)[name] for name in ("service", "pipeline"))
    state = [service["storage.path"], pipeline["inputs"][0]["db"]]
    assert all(path.startswith("/var/lib/fluent-bit/") for path in state)
    assert int(shipper["stop_grace_period"].removesuffix("s")) > service["grace"]


def test_no_volume_begins_with_what_an_image_has_there() -> None:
    """An engine copies it into an empty one: nginx's links to stdout, where its log is to be, or root's directory."""
    theirs = {"nginx": "/var/log/nginx", "cloudbeaver": "/opt/cloudbeaver"}
    for name, directory in theirs.items():
        for source, target, options in mounts(name):
            if source in COMPOSE["volumes"] and Path(target).is_relative_to(directory):
                assert "nocopy" in options, (name, target)


def test_volumes_are_given_to_those_who_write_them() -> None:
    """By number: none of these programs starts as root. Whoever mounts one waits until it is theirs."""
    given = SERVICES["volumes"]
    owner = {path: user for user, path in re.findall(r"chown (\d+:\d+) (/[\w-]+)", given["entrypoint"][-1])}
    assert owner == {"/logs": "101:101", "/fluent-bit": "65532:65532", "/cloudbeaver": "8978:8978"}
    assert {f"{path[1:]}:{path}" for path in owner} == set(given["volumes"])
    users = {name: SERVICES[name] for name in SERVICES if {f"/{it[0]}" for it in mounts(name)} & owner.keys()}
    assert users.keys() == {"volumes", "nginx", "fluent-bit", "cloudbeaver"}
    for name in users.keys() - {"volumes"}:
        assert users[name]["depends_on"]["volumes"] == {"condition": "service_completed_successfully"}
        for source, _, options in mounts(name):
            assert f"/{source}" not in owner or users[name]["user"] == owner[f"/{source}"] or "ro" in options


def test_traffic_hears_a_stop() -> None:
    """A container's first process ignores SIGTERM unless it handles it, which Python does not: tini is the first."""
    assert SERVICES["traffic"]["entrypoint"][:2] == ["tini", "--"]


def test_only_those_who_need_them_reach_kafka_and_postgres() -> None:
    """Both networks are closed to the outside, and neither server has a port on the host."""
    members = {net: {n for n, it in SERVICES.items() if net in it.get("networks", [])} for net in COMPOSE["networks"]}
    assert members["kafka"] == {"kafka", "fluent-bit", *WORKERS}
    assert members["database"] == {"postgres", "migrate", "grants", "grafana", "cloudbeaver", *WORKERS}
    assert all(COMPOSE["networks"][net]["internal"] for net in ("kafka", "database"))
    assert not {"kafka", "postgres"} & members["web"]
    assert "ports" not in SERVICES["kafka"]
    assert "ports" not in SERVICES["postgres"]


def test_ports_are_those_of_the_code() -> None:
    """The web endpoint's, in the image, on the host and for Prometheus."""
    port = default("web_port")
    assert [SERVICES[worker]["ports"][0].split(":")[2] for worker in WORKERS] == [port] * len(WORKERS)
    assert f"EXPOSE {port}" in DOCKERFILE
    prometheus = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text())
    [scraped] = prometheus["scrape_configs"]
    assert scraped["static_configs"][0]["targets"] == [f"{worker}:{port}" for worker in WORKERS]
    [secret] = SERVICES["prometheus"]["secrets"]
    assert scraped["authorization"]["credentials_file"] == f"/run/secrets/{secret['source']}"
    assert secret["mode"] & 0o004  # Prometheus is not root
    assert prometheus["rule_files"] == ["/etc/prometheus/rules.yaml"]
    rules = (DEPLOY / "prometheus/rules.yaml").read_text()
    assert f'up{{job="{scraped["job_name"]}"}}' in rules


def test_kafka_is_the_one_that_tests_pass_with() -> None:
    """The image's version is that of the embedded broker, with one broker's settings."""
    jars = (Path(kafka.__file__).parent / "kafka-jars.txt").read_text()
    assert f"org.apache.kafka:kafka_2.13:{SERVICES['kafka']['image'].split(':')[1]} " in jars
    given = SERVICES["kafka"]["environment"]
    assert {given[key] for key in given if key.endswith(("REPLICATION_FACTOR", "MIN_ISR"))} == {"1"}
    assert given["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_cloudbeaver_has_the_connection_and_lets_nobody_in_unasked() -> None:
    """As kpi_reader, marked read-only, with a password from the environment."""
    given = SERVICES["cloudbeaver"]["environment"]
    assert given["CLOUDBEAVER_APP_ANONYMOUS_ACCESS_ENABLED"] == "false"
    assert given["CLOUDBEAVER_APP_SUPPORTS_CUSTOM_CONNECTIONS"] == "false"
    assert {"CB_SERVER_NAME", "CB_ADMIN_NAME", "CB_ADMIN_PASSWORD"} < given.keys()
    sources = json.loads((DEPLOY / "cloudbeaver/initial-data-sources.conf").read_text())
    [connection] = sources["connections"].values()
    to = connection["configuration"]
    assert (to["user"], to["password"]) == ("kpi_reader", "${POSTGRES_READER_PASSWORD}")
    assert (
        to["url"]
        == f"jdbc:postgresql://{to['host']}:{to['port']}/{to['database']}"
        == "jdbc:postgresql://postgres:5432/kpi"
    )
    assert connection["read-only"]
    assert "POSTGRES_READER_PASSWORD" in given
    assert given["CLOUDBEAVER_SYSTEM_VARIABLES_RESOLVING_ENABLED"] == "true"


def test_grafana_is_given_what_its_files_ask_for() -> None:
    """Every variable of the provisioning, the dashboards where they are looked for, and no anonymous access."""
    given = SERVICES["grafana"]["environment"]
    files = "".join(path.read_text() for path in (DEPLOY / "grafana/provisioning").rglob("*.yaml"))
    assert set(re.findall(r"\$\{(\w+)\}", files)) <= given.keys()
    assert "$" not in re.sub(r"\$\{\w+\}", "", files)  # which Grafana would take for a variable
    assert "./grafana/dashboards:/etc/grafana/dashboards:ro" in SERVICES["grafana"]["volumes"]
    assert "path: /etc/grafana/dashboards" in files
    home = Path(given["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (DEPLOY / "grafana/dashboards" / home.name).exists()
    assert given["GF_AUTH_ANONYMOUS_ENABLED"] == "false"


# -- Dockerfile --


def test_the_image_is_nobody_in_particular() -> None:
    """Two stages of one Python that is supported; a number for a user; no shell before the worker."""
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert {re.fullmatch(r"python:(3\.1[123])-slim-\w+", base)[1] for base in bases} == {"3.13"}
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER (\d+):\d+$", last, re.MULTILINE)[1] != "0"
    assert 'ENTRYPOINT ["tini", "--"]' in last
    assert json.loads(re.search(r"^CMD (.*)$", last, re.MULTILINE)[1])[0] == "faust"
    assert "COPY --from=build" in last
    assert [line for line in last.splitlines() if line.startswith("COPY")] == ["COPY --from=build /opt/kpi /opt/kpi"]


def test_the_image_sets_settings_that_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And that are right; its volume is where the data goes."""
    given = dict(re.findall(r"(KPI_\w+)=(\S+)", DOCKERFILE))
    monkeypatch.chdir(tmp_path)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    in_force = load()
    assert {name.removeprefix("KPI_").lower() for name in given} <= Settings.model_fields.keys()
    assert re.search(r"^VOLUME (.*)$", DOCKERFILE, re.MULTILINE)[1] == str(in_force.data_dir)
    assert "no-install-recommends tini" in DOCKERFILE


def test_what_is_copied_is_there_and_in_the_context() -> None:
    """No COPY asks for what .dockerignore keeps out, and no secret gets in."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]

    def sent(path: str) -> bool:
        kept = True
        for rule in rules:
            if fnmatch.fnmatch(path, rule.removeprefix("!").removeprefix("**/")):
                kept = rule[0] == "!"
        return kept

    copied = [it for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for it in line.split()[:-1]]
    assert set(copied) == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "migrations/", "kpi_app/"}
    for path in copied:
        assert (ROOT / path).exists()
        assert sent(path.rstrip("/")), path
    assert not any(map(sent, (".env", ".git", "deploy", "kpi-data", ".venv", "local.env", "tests")))
    assert os.readlink(ROOT / "kpi_app/migrations") == "../migrations"  # a link between two that are copied
