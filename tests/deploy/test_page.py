"""docs/deploy.md, docs/operations.md and the tests of the rules say what is there."""

import re
import subprocess

import pytest
import yaml

from kpi_app.stream.topics import MAX_PARTITIONS, Names
from tests.deploy.conftest import DEPLOY
from tests.installed import installed

PAGE = "".join((DEPLOY.parent / "docs" / name).read_text() for name in ("deploy.md", "operations.md"))
RULES = [
    rule for it in yaml.safe_load((DEPLOY / "prometheus/rules.yaml").read_text())["groups"] for rule in it["rules"]
]


def test_files_that_the_page_names_are_there() -> None:
    """Scripts, manifests and folders."""
    named = set(re.findall(r"\b(?:deploy|fluent-bit)/[\w./@-]*\w", PAGE)) - {"deploy/.env"}
    assert len(named) > 8
    assert [name for name in named if not (DEPLOY.parent / name).exists()] == []


def test_names_on_the_page_are_those_of_the_code() -> None:
    """Ports, passwords, the group, topics, alerts."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    published = {port.split(":")[1] for it in compose["services"].values() for port in it.get("ports", [])}
    assert set(re.findall(r"(?:127\.0\.0\.1|`):(\d{4})\b", PAGE)) - {"9092"} == published
    names = Names("access-log")
    assert f"`{names.app}`" in PAGE
    assert f"`{names.rejected}`" in PAGE
    assert f"up to {MAX_PARTITIONS}." in PAGE
    alerts = {rule["alert"] for rule in RULES}
    assert set(re.findall(r"`(Kpi\w+)`", PAGE)) <= alerts
    env = (DEPLOY / "make-env").read_text()
    assert all(name in env for name in re.findall(r"\b[A-Z]+_ADMIN_PASSWORD\b", PAGE))


@pytest.mark.parametrize(
    "command", [("check", "rules", "rules.yaml"), ("test", "rules", "rules_test.yaml")], ids="-".join
)
def test_prometheus_evaluates_its_rules(command: tuple[str, ...]) -> None:
    """Its own tool takes them, and they fire when rules_test.yaml says so, and only then."""
    done = subprocess.run(
        [installed("promtool", "prometheus"), *command],
        cwd=DEPLOY / "prometheus",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_of_prometheus_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    """For promtool, by its annotations as they are."""
    cases = [
        case
        for it in yaml.safe_load((DEPLOY / "prometheus/rules_test.yaml").read_text())["tests"]
        for case in it["alert_rule_test"]
    ]
    for rule in RULES:
        expected = [case["exp_alerts"] for case in cases if case["alertname"] == rule["alert"]]
        assert any(not it for it in expected), rule["alert"]
        fired = [alert for it in expected for alert in it]
        assert fired, rule["alert"]
        for alert in fired:
            assert alert["exp_labels"]["severity"] == rule["labels"]["severity"]
            said = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda it: alert["exp_labels"][it[1]], str(rule["annotations"]))  # noqa: B023
            assert said == str(alert["exp_annotations"])
