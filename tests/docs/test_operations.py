"""docs/operations.md names every alert, and docs/deploy.md installs what the worker's unit expects."""

import re

import yaml

from tests.docs.pages import DOCS, ROOT, rows

RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text())["groups"]
UNIT = (ROOT / "deploy/systemd/kpi-worker@.service").read_text()


def test_every_alert_is_in_its_table() -> None:
    """With what to look at; and none that there is not."""
    named = [(cells, re.findall(r"`(Kpi\w+)`", cells[0])) for cells in rows(DOCS / "operations.md")]
    listed = [name for cells, names in named if len(cells) == 2 and cells[1] for name in names]
    assert sorted(listed) == sorted(rule["alert"] for group in RULES for rule in group["rules"])


def test_workers_are_installed_where_their_unit_looks() -> None:
    """The directory of the program, and the file of the settings; its instances are ports."""
    section = (DOCS / "deploy.md").read_text().partition("## Workers under systemd")[2].partition("\n## ")[0]
    [program] = re.findall(r"^ExecStart=(?:.* )?(/\S+)/\.venv/bin/faust ", UNIT, re.MULTILINE)
    [settings] = re.findall(r"^EnvironmentFile=(\S+)", UNIT, re.MULTILINE)
    [port] = re.findall(r"KPI_WEB_PORT=(%\w)", UNIT)
    assert f" {program} && cd {program}\n" in section
    assert f"install -m 0600 /dev/null {settings} " in section
    assert (port, "kpi-worker@6066" in section) == ("%i", True)
    for path in re.findall(r"deploy/\S+?\.(?:service|sql)", section):
        assert (ROOT / path).exists(), path
