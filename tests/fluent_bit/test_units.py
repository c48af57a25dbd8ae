"""The systemd units: systemd takes them, they start what there is, and leave little to whoever breaks in."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kpi_app.settings import Settings
from tests.installed import installed

REPOSITORY = Path(__file__).parents[2]
FLUENT_BIT = REPOSITORY / "fluent-bit" / "kpi-fluent-bit.service"
WORKER = REPOSITORY / "deploy" / "systemd" / "kpi-worker@.service"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="systemd is of Linux")
each = pytest.mark.parametrize("unit", [FLUENT_BIT, WORKER], ids=lambda unit: unit.stem)


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = installed("systemd-analyze", "systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


@each
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    """All of its names and values are known; only the program is not here."""
    copy = tmp_path / unit.name
    copy.write_text(re.sub("^ExecStart=[^ ]+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    done = analyze("verify", copy)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_takes_the_credential_too(tmp_path: Path) -> None:
    """The line for mTLS, and Fluent Bit is told the file that systemd makes of it."""
    text = FLUENT_BIT.read_text()
    assert "\n#LoadCredential=" in text
    copy = tmp_path / FLUENT_BIT.name
    copy.write_text(
        re.sub("^ExecStart=[^ ]+", "ExecStart=/bin/true", text.replace("#Load", "Load"), flags=re.MULTILINE)
    )
    done = analyze("verify", copy)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    [name] = re.findall("^#LoadCredential=([^:]+):/etc/kpi/", text, re.MULTILINE)
    example = (FLUENT_BIT.parent / "fluent-bit.env.example").read_text()
    assert f"#KPI_KAFKA_SSL_KEY=/run/credentials/{FLUENT_BIT.name}/{name}\n" in example


@each
def test_little_is_left_to_it(unit: Path) -> None:
    """By systemd's own scale, from 0 to 10, it is under 2."""
    done = analyze("security", "--offline=true", "--threshold=20", "--no-pager", unit)
    assert done.returncode == 0, done.stdout


@each
def test_secrets_come_from_a_file(unit: Path) -> None:
    """Not from the unit, which everybody may read, nor from the command line."""
    text = unit.read_text()
    assert re.search("^EnvironmentFile=/etc/kpi/[a-z-]+[.]env$", text, re.MULTILINE)
    assert not re.search("PASSWORD|URL|KEY=", text.replace("KPI_DATABASE_URL and what else", ""))


def test_the_worker_is_told_settings_that_there_are() -> None:
    """Its port and its data directory, which systemd makes for it."""
    given = dict(re.findall("(KPI_[A-Z_]+)=([^ \n]+)", WORKER.read_text()))
    assert given == {"KPI_WEB_PORT": "%i", "KPI_DATA_DIR": "/var/lib/kpi"}
    assert given.keys() <= {f"KPI_{name.upper()}" for name in Settings.model_fields}
    assert "\nStateDirectory=kpi\n" in WORKER.read_text()


def test_what_the_worker_is_told_wins_over_its_file(tmp_path: Path) -> None:
    """systemd's Environment= would lose to EnvironmentFile=, and all instances have the port of the file."""
    text = WORKER.read_text()
    assert "\nEnvironment=" not in text
    [command] = re.findall("^ExecStart=(.*) /opt/kpi/.venv/bin/faust ", text, re.MULTILINE)
    told = command.replace("%i", "6067").split()
    file = {"KPI_WEB_PORT": "1", "KPI_DATA_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([*told, "env"], env=file, capture_output=True, text=True, check=True)
    assert {"KPI_WEB_PORT=6067", "KPI_DATA_DIR=/var/lib/kpi"} < set(done.stdout.splitlines())
