"""Where the workers find each other."""

import socket

import pytest

from kpi_app.worker import told_host


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("worker-1.example", "worker-1.example"),
        ("2001:db8::1", "[2001:db8::1]"),
    ],
)
def test_others_are_told_an_address_to_find(setting: str, told: str) -> None:
    """The one it binds to."""
    assert told_host(setting) == told


@pytest.mark.parametrize("setting", ["0.0.0.0", "::"])  # noqa: S104  the setting is what is tested
@pytest.mark.parametrize(
    ("full", "told"),
    [
        # a pod of a StatefulSet, as kubelet writes it to /etc/hosts: others can't look up the short one
        ("kpi-worker-0.kpi-worker.kpi.svc.cluster.local", "kpi-worker-0.kpi-worker.kpi.svc.cluster.local"),
        ("kpi-worker-0", "kpi-worker-0"),
        # where /etc/hosts has the host at 127.0.0.1, and where an address is looked up backwards
        ("localhost", "kpi-worker-0"),
        ("localhost.localdomain", "kpi-worker-0"),
        ("10-0-0-7.provider.example", "kpi-worker-0"),
    ],
)
def test_others_are_told_the_hosts_full_name_where_it_binds_to_every_address(
    monkeypatch: pytest.MonkeyPatch, setting: str, full: str, told: str
) -> None:
    """Every address is none to ask. A full name that is another's than this host's is not told."""
    monkeypatch.setattr(socket, "gethostname", lambda: "kpi-worker-0")
    monkeypatch.setattr(socket, "getfqdn", lambda: full)
    assert told_host(setting) == told
