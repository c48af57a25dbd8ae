"""A server keeps its port; one that is taken is a clear error."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kpi_app.local.errors import LocalError
from kpi_app.local.ports import choose_port, free_port, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that someone listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_chosen_port_is_free_and_no_outgoing_connection_gets_it() -> None:
    """Ports lie below the range that systems hand out to clients."""
    port = free_port()
    assert is_free(port)
    assert port < 32_768


def test_the_last_port_is_taken_again(tmp_path: Path) -> None:
    """What clients were told stays true after a restart."""
    first = choose_port(None, tmp_path / "port")
    assert choose_port(None, tmp_path / "port") == first


def test_a_last_port_that_others_took_is_replaced(tmp_path: Path, taken: int) -> None:
    """Nobody asked for that one in particular."""
    (tmp_path / "port").write_text(f"{taken}\n")
    assert choose_port(None, tmp_path / "port") != taken


def test_a_wanted_port_that_is_in_use_is_one_clear_line(tmp_path: Path, taken: int) -> None:
    """The error names the port and the next move."""
    with pytest.raises(LocalError, match=rf"port {taken} .* in use: end what listens there") as error:
        choose_port(taken, tmp_path / "port")
    assert "\n" not in str(error.value)
