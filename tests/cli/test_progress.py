"""Every command that may take long shows in a terminal how far it is, and nowhere else."""

from pathlib import Path

import pytest

from tests.cli.programs import kpi, run
from tests.cli.test_top import fill
from tests.deploy.filled import line

#: By command, with its options: what its bar is called.
BARS = {
    ("check", "a.log"): "reading",
    ("migrate",): "migrating",
    ("ship", "a.log"): "shipping",
    ("report", "--window", "1h"): "uniting",
    ("reset", "--yes"): "deleting",
}


@pytest.mark.parametrize("terminal", [True, False])
async def test_long_commands_show_how_far_they_are(
    terminal: bool, settings: dict[str, str], database: str, tmp_path: Path
) -> None:
    """A bar that is gone in the end; in a pipe not a trace of it, even where colours are forced."""
    (tmp_path / "a.log").write_text(f"{line(0)}\n")
    await fill(database, settings["KPI_TOPIC"], [line(0)])
    for options, name in BARS.items():
        done = run(kpi(*options), tmp_path, settings | {"FORCE_COLOR": "1"}, terminal=terminal)
        assert done.code == 0, done
        assert (name in done.out + done.err) == terminal
        assert ("\x1b[2K" in done.out + done.err) == terminal  # a line that is taken away again
