"""The small site of compose.yaml on a real nginx, visited by its own traffic maker: every visit can be counted."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.base import Reading
from kpi_app.feeds.envelope import decode
from kpi_app.local.ports import free_port
from tests.cli.programs import until
from tests.deploy.conftest import DEPLOY
from tests.installed import installed

SITE = DEPLOY / "site"
VISITS = 200


def here(directory: Path, port: int) -> str:
    """nginx.conf with this machine's paths and ports in place of the container's, and nothing else changed."""
    text = (SITE / "nginx.conf").read_text()
    for theirs, ours in (
        ("/tmp/", f"{directory}/"),  # noqa: S108  the container's own
        ("/logs/", f"{directory}/"),
        ("/usr/share/nginx/html", str(SITE / "html")),
        ("/etc/nginx/kpi-log-format.conf", str(DEPLOY.parent / "fluent-bit/nginx-log-format.conf")),
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("127.0.0.1:8081", f"127.0.0.1:{free_port()}"),
    ):
        assert theirs in text
        text = text.replace(theirs, ours)
    return text


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The running site: its address and its log."""
    port = free_port()
    config = tmp_path / "nginx.conf"
    # as root its workers would be nobody's, who may not enter a test's directory
    config.write_text("user root;\n" + here(tmp_path, port) if os.geteuid() == 0 else here(tmp_path, port))
    command = [installed("nginx", "nginx-light"), "-p", str(tmp_path), "-c", str(config), "-g", "daemon off;"]
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            until(lambda: (tmp_path / "nginx.pid").exists() or process.poll() is not None)
            assert process.poll() is None, (tmp_path / "out").read_text()
            yield f"http://127.0.0.1:{port}", tmp_path / "access.log"
        finally:
            process.terminate()
            process.wait(30)


def test_every_visit_is_a_line_that_counts(site: tuple[str, Path]) -> None:
    """Pages, missing ones and failures, with request times and the host; the health check is nobody's visit."""
    url, log = site
    maker = [sys.executable, str(SITE / "traffic.py"), url, "1000000", str(VISITS)]
    done = subprocess.run(maker, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    subprocess.run([sys.executable, "-c", f"import urllib.request; urllib.request.urlopen('{url}/health')"], check=True)
    until(lambda: log.read_bytes().count(b"\n") >= VISITS)
    lines = log.read_bytes().splitlines()
    assert len(lines) == VISITS
    rows = ACCESS.parse(decode([*lines]), Reading(visitor_key=b"0123456789abcdef"))
    assert rows["reason"].null_count() == VISITS
    assert {200, 404, 503} <= set(rows["status"])
    assert rows["request_time_us"].null_count() == 0
    assert set(rows["by_host"]) == {re.sub(r"^http://|:\d+$", "", url)}
    assert {"/", "/about.html", "/api/orders", "/missing.html", "/api/broken"} == set(rows["by_path"])
