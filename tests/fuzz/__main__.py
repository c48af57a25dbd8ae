"""`make fuzz`: batches by a seed for some time; what does not hold is made small, kept in files, and printed."""

import argparse
import faulthandler
import shutil
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from time import monotonic

from tests.fuzz.claims import CLAIMS, Broken, broken
from tests.fuzz.findings import keep, kept, told
from tests.fuzz.growth import GROWING, too_slow
from tests.fuzz.seeds import corpus
from tests.fuzz.smaller import smaller
from tests.fuzz.tried import Batches, Value

#: A batch that takes longer hangs: most take a third of a second.
_HANGS_AFTER_S = 120

#: Findings of one claim that are kept; more say nothing new.
_ENOUGH = 5

_TELL_EVERY_S = 60


class Run:
    """One run: its batches, and what was found."""

    def __init__(self, seed: int, files: Sequence[Path], found: Path, tries: int = 400) -> None:
        self.seed = seed
        self.batches = Batches(seed, corpus(*files))
        self.directory = found
        self.found: list[Path] = []
        self.tried = 0
        self._tries = tries
        self._times: dict[str, int] = {}

    def until(self, end_s: float, first: int = 0) -> int:
        """Try batches until it is time; give how many."""
        began, told_s = monotonic(), monotonic()
        for number in count(first):
            if monotonic() >= end_s:
                return number - first
            self.batch(number)
            if monotonic() - told_s > _TELL_EVERY_S:
                told_s = monotonic()
                print(f"{told_s - began:6.0f} s  {number - first + 1:,} batches, {self.tried:,} values", flush=True)
        raise AssertionError("numbers have no end")

    def batch(self, number: int) -> None:
        """Try one. While it is tried it is in a file: that is what is left of one that takes the process with it."""
        values = self.batches[number]
        at_work = keep(
            self.directory / f"at-work-{self.seed}-{number}",
            values,
            f"the process ended or hung at {self.seed}:{number}",
        )
        faulthandler.dump_traceback_later(_HANGS_AFTER_S, exit=True)
        wrong = broken(values)
        faulthandler.cancel_dump_traceback_later()
        shutil.rmtree(at_work)
        self.tried += len(values)
        if wrong:
            self._keep(wrong, values, number)

    def _keep(self, wrong: Broken, values: list[Value], number: int) -> None:
        times = self._times[wrong.claim] = self._times.get(wrong.claim, 0) + 1
        if times > _ENOUGH:
            return
        claims = [claim for claim in CLAIMS if claim.__name__ == wrong.claim]
        less = smaller(values, lambda some: broken(some, claims) is not None, self._tries)
        text = told(broken(less, claims) or wrong, less, f"seed {self.seed}, batch {number}")
        self.found.append(keep(self.directory / f"{wrong.claim}-{self.seed}-{number}", less, text))
        print(f"{text}\n  kept in {self.found[-1]}", flush=True)


def again(directory: Path) -> int:
    """Try what was kept once more."""
    wrong = broken(kept(directory))
    print(told(wrong, kept(directory), str(directory)) if wrong else "holds now")
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the batch to begin with")
    parser.add_argument("--log", type=Path, action="append", default=[], help="a log whose lines are mutated, too")
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"), help="where findings are kept")
    parser.add_argument("--again", type=Path, help="try a finding once more")
    return parser.parse_args()


def main() -> int:
    """The command."""
    arguments = _arguments()
    if arguments.again:
        return again(arguments.again)
    end_s = monotonic() + 60 * arguments.minutes
    print(f"seed {arguments.seed}, {arguments.minutes:g} minutes", flush=True)
    slow = too_slow()
    for name, growth in slow.items():
        print(f"time is not linear in the length: {name}, {growth:.1f} times as long as in eight parts", flush=True)
    run = Run(arguments.seed, arguments.log, arguments.found)
    batches = run.until(end_s, arguments.first)
    print(f"seed {arguments.seed}: {batches:,} batches, {run.tried:,} values, {len(run.found)} findings;", end=" ")
    print(f"of {len(GROWING)} kinds of long lines {len(slow)} too slow")
    return 1 if run.found or slow else 0


if __name__ == "__main__":
    sys.exit(main())
