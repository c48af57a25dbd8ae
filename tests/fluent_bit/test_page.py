"""docs/fluent-bit.md: it names the files that there are, and its lines are ones that nginx and kpi_app write."""

import re
from pathlib import Path

from kpi_app.settings import Settings
from tests.cli.programs import kpi, run
from tests.fluent_bit.configurations import CONFIGURATIONS, FILES, read, variables

PAGE = Path(__file__).parents[2] / "docs" / "fluent-bit.md"


def test_every_file_is_in_its_table() -> None:
    """And none that is not there."""
    rows = re.findall(r"^\| `([^`]+)` \| (?:`/etc|the same)", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(path.name for path in FILES.iterdir())


def test_its_links_lead_somewhere() -> None:
    """To files of this repository."""
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text()):
        assert (PAGE.parent / link).exists(), link


def test_its_settings_exist() -> None:
    """In kpi_app or in a configuration of Fluent Bit."""
    known = {f"KPI_{name.upper()}" for name in Settings.model_fields}
    known |= {name for path in CONFIGURATIONS for name in variables(read(path))}
    assert set(re.findall(r"\bKPI_[A-Z_]+", PAGE.read_text())) <= known


def test_its_line_is_read_as_it_says(tmp_path: Path) -> None:
    """What it shows of the log, twice, makes `kpi check` say what it shows of that."""
    [line] = re.findall(r"^127\.0\.0\.1 .*$", PAGE.read_text(), re.MULTILINE)
    said = re.findall(r"^(?:access\.log: |  visitors |  times ).*$", PAGE.read_text(), re.MULTILINE)
    (tmp_path / "access.log").write_text(f"{line}\n{line}\n")
    done = run(kpi("check", "access.log"), tmp_path)
    assert (done.code, [row for row in done.out.splitlines() if row in said]) == (0, said)
    assert len(said) == 3
    assert "host" in done.out
    assert "missing " not in done.out
