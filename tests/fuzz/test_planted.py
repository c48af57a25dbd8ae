"""What the fuzz target would find: bugs are planted, found, made small, kept, and shown again."""

import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from kpi_app.feeds import access, access_dimensions, envelope
from kpi_app.feeds.access_fields import tell_apart
from kpi_app.sources import records
from tests.fuzz import claims, servers
from tests.fuzz.__main__ import again
from tests.fuzz.findings import keep, kept
from tests.fuzz.run import Run
from tests.fuzz.smaller import smaller

_AROUND = envelope._around

#: Batches within which each of them must be found.
WITHIN = 10


def _as_the_first(lines: pl.DataFrame) -> pl.DataFrame:
    told = tell_apart(lines)
    return told if told["format"].head(1).is_not_null().all() else told.clear(len(told))


def _escapes_left_in(look: str) -> str:
    return _AROUND(look).replace(r'[^"\\\x00-\x1f]', r'(?:[^"\\\x00-\x1f]|\\[^"])')


def _panics(*_: object) -> None:
    raise pl.exceptions.PanicException("index out of bounds")


#: Where, what is replaced, by what, and the claim that tells.
PLANTED: dict[str, tuple[object, str, object, str]] = {
    "careful reading left out": (envelope, "_patch", lambda seen, _: seen, "columns_mean_what_reading_means"),
    "escapes left in": (envelope, "_around", _escapes_left_in, "a_look_finds_what_care_finds"),
    "values as they come": (access_dimensions, "clean", lambda text: text, "lines_are_counted_or_have_a_reason"),
    "any object is a line": (envelope, "is_line", lambda _: True, "a_plain_reader_agrees"),
    "the first line decides": (access, "tell_apart", _as_the_first, "company_changes_nothing"),
    "shipped without control characters": (records, "MAX_LINE_BYTES", 10, "shipped_lines_arrive"),
    "a server that escapes nothing": (servers, "_NGINX_ESCAPES", re.compile("(?!)"), "texts_stay_in_their_fields"),
    "a panic in the fold": (claims, "fold", _panics, "the_books_balance"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_and_kept(bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its claim, within a few batches; what is kept is smaller, and fails for as long as the bug is there."""
    where, name, instead, claim = PLANTED[bug]
    run = Run(1, [], tmp_path, tries=40)
    with monkeypatch.context() as planted:
        planted.setattr(where, name, instead)
        for number in range(WITHIN):
            run.batch(number)
            if run.found:
                break
        assert [found.name for found in run.found] == [f"{claim}-1-{number}"]
        assert again(run.found[0]) == 1
    assert again(run.found[0]) == 0
    assert len(kept(run.found[0])) < len(run.batches[number]) / 2
    assert claim in (run.found[0] / "why.txt").read_text()
    assert list(tmp_path.iterdir()) == run.found


def test_a_batch_is_made_small() -> None:
    """To the values and bytes that matter, in their order."""
    values = [None, b"x" * 1000, b"..a..", None, b"yy", b"b" * 9]
    assert smaller(values, lambda some: b"a" in b"".join(v or b"" for v in some) and None in some) == [None, b"a"]
    assert smaller(values, lambda _: False) == values
    assert smaller(values, lambda _: True, tries=0) == values


def test_findings_are_kept_byte_for_byte(tmp_path: Path) -> None:
    """None and nothing are told apart."""
    values = [b"\0\xff\n", None, b"", b"\x1b[2J"]
    assert kept(keep(tmp_path / "a", values, "why")) == values


def test_the_command_ends_with_what_it_found(tmp_path: Path) -> None:
    """A finding that is not mended fails, and one that is does not; nothing but text is printed."""
    held = keep(tmp_path / "held", [b"\x1b[2J", None], "why")
    command = [sys.executable, "-m", "tests.fuzz", "--again", held]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stdout) == (0, "holds now\n"), done.stderr


@pytest.mark.parametrize("end", ["os._exit(3)", "os.abort()"])
def test_a_batch_that_takes_the_process_with_it_is_left(end: str, tmp_path: Path) -> None:
    """A crash in native code leaves what was tried."""
    program = f"""
import os
from pathlib import Path
from tests.fuzz import run
run.broken = lambda values: {end}
run.Run(1, [], Path({str(tmp_path)!r})).batch(5)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode not in (0, 1), done.stderr
    [left] = tmp_path.iterdir()
    assert left.name == "at-work-1-5"
    assert kept(left) == Run(1, [], tmp_path).batches[5]
