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
        ("0.0.0.0", socket.gethostname()),  # noqa: S104  the setting is what is tested
        ("::", socket.gethostname()),
    ],
)
def test_others_are_told_an_address_to_find(setting: str, told: str) -> None:
    """The one it binds to; the host's name where that is every address, which is none to ask."""
    assert told_host(setting) == told
