"""Programs that are not installed: a test without its program is skipped where that helps, and fails in CI."""

import pytest

from tests.installed import installed


def test_a_missing_program_is_skipped_but_not_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either way with what to install."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install nowhere"):
        installed("no-such-program", "nowhere")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install nowhere"):
        installed("no-such-program", "nowhere")


def test_an_installed_program_is_found() -> None:
    assert installed("sh", "dash").endswith("/sh")
