"""polars' allocator hears what it is told: it complains of what it does not know, on stderr, and of nothing of ours."""

import os
import subprocess
import sys

import pytest

from kpi_app.allocator import OPTIONS, VARIABLE

#: What a worker does first, without a setting: it ends, with polars loaded.
PROGRAM = "import kpi_app\ntry:\n    kpi_app.app\nfinally:\n    import sys; assert 'polars' in sys.modules"


def said(options: dict[str, str]) -> str:
    """What the program says on stderr."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("KPI_") and name != VARIABLE}
    env = ours | {"KPI_WEB_PORT": "none"} | options
    done = subprocess.run((sys.executable, "-c", PROGRAM), env=env, capture_output=True, text=True)
    assert "KPI_WEB_PORT" in done.stderr, "it was to end for that, and no sooner"
    assert "AssertionError" not in done.stderr
    return done.stderr


def test_our_options_are_known() -> None:
    """Those that `keep_less` sets."""
    assert "jemalloc" not in said({})


@pytest.mark.parametrize("wrong", [OPTIONS.replace("narenas", "arenas"), OPTIONS.replace("muzzy", "fuzzy")])
def test_options_that_are_not_known_are_told(wrong: str) -> None:
    """So they are read, and those that are not complained of are in force; a user's own come first."""
    assert "<jemalloc>: Invalid conf pair" in said({VARIABLE: wrong})
