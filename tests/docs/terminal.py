"""A reader's terminals, in which the commands of a page are run."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.cli.programs import SCRIPTS, Done, Program, run, running
from tests.docs.pages import ROOT

_STATE = "state.sh"


class Terminal:
    """Runs lines one after the other in one directory; what they export holds for those that follow.

    `stands_for`: what a page's placeholders are here.
    """

    def __init__(self, stack: ExitStack, directory: Path, stands_for: Mapping[str, str], **settings: str) -> None:
        self._stack = stack
        self._directory = directory
        self._stands_for = stands_for
        self._background: list[Program] = []
        path = f"{SCRIPTS}:{os.environ['PATH']}"  # in place of `. .venv/bin/activate`
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in {"PATH": path, **settings}.items()]
        (directory / _STATE).write_text("".join(lines))

    def run(self, line: str) -> str:
        """Run a line to its end, which is to be a good one; returns what it printed, with the placeholders."""
        done = self._run(line)
        return self._there(done.out + done.err)

    def value(self, name: str) -> str:
        """What a variable holds now."""
        return self._run(f'echo "${name}"').out.strip()

    def _run(self, line: str) -> Done:
        script = f". ./{_STATE}; {self._here(line)}\nended=$?; export -p >{_STATE}; exit $ended"
        done = run(("sh", "-c", script), self._directory)
        assert done.code == 0, (line, done)
        return done

    def start(self, line: str, ready: str) -> str:
        """Start a line that stays, until it says that it is ready; returns what it has printed by then."""
        script = f". ./{_STATE}; exec {self._here(line)}"
        program = self._stack.enter_context(running(("sh", "-c", script), self._directory))
        self._background.append(program)
        self._stack.callback(self._end, program)
        program.until(ready)
        return self._there(program.out + program.err)

    def end(self) -> None:
        """End what was started last, by Ctrl-C."""
        self._end(self._background.pop())

    def _end(self, program: Program) -> None:
        if program.process.poll() is None:
            program.end(signal.SIGINT)

    def _here(self, line: str) -> str:
        for theirs, ours in self._stands_for.items():
            line = line.replace(theirs, ours)
        return line

    def _there(self, said: str) -> str:
        for theirs, ours in self._stands_for.items():
            said = said.replace(ours, theirs)
        return said


def what_make_runs(line: str) -> str:
    """The last command of what a `make …` would run, with the programs of this interpreter; nothing is run."""
    words = [*shlex.split(line), "--dry-run", "--no-print-directory", f"VENV={sys.prefix}"]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of `make test`
    told = subprocess.run(words, cwd=ROOT, env=ours, capture_output=True, text=True, check=True).stdout
    return re.sub(rf"^{re.escape(sys.prefix)}/bin/", "", told.strip().splitlines()[-1])
