"""A run: batches by a seed for some time; what does not hold is made small, kept in files, and printed."""

import faulthandler
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import count, takewhile
from pathlib import Path
from time import monotonic

from tests.fuzz.claims import CLAIMS, Broken, broken
from tests.fuzz.findings import keep, told
from tests.fuzz.seeds import corpus
from tests.fuzz.smaller import smaller
from tests.fuzz.tried import Batches, Value

#: A batch that takes longer hangs: most take less than a second.
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
        self._times = Counter[str]()

    def until(self, end_s: float, first: int = 0) -> None:
        """Try batches until it is time, or until Ctrl-C."""
        began = told_s = monotonic()
        with suppress(KeyboardInterrupt):
            for number in takewhile(lambda _: monotonic() < end_s, count(first)):
                self.batch(number)
                if monotonic() - told_s > _TELL_EVERY_S:
                    told_s = monotonic()
                    print(f"{told_s - began:6.0f} s  batch {number:,}, {self.tried:,} values", flush=True)

    def batch(self, number: int) -> None:
        """Try one. While it is tried it is in a file: that is what is left of one that takes the process with it."""
        values = self.batches[number]
        where = f"seed {self.seed}, batch {number}"
        at_work = keep(
            self.directory / f"at-work-{self.seed}-{number}", values, f"the process ended or hung at {where}"
        )
        faulthandler.dump_traceback_later(_HANGS_AFTER_S, exit=True)
        try:
            wrong = broken(values)
        finally:
            faulthandler.cancel_dump_traceback_later()
            shutil.rmtree(at_work)
        self.tried += len(values)
        if wrong:
            self._keep(wrong, values, self.directory / f"{wrong.claim}-{self.seed}-{number}", where)

    def _keep(self, wrong: Broken, values: list[Value], directory: Path, where: str) -> None:
        self._times[wrong.claim] += 1
        if self._times[wrong.claim] > _ENOUGH:
            return
        claims = [claim for claim in CLAIMS if claim.__name__ == wrong.claim]
        less = smaller(values, lambda some: broken(some, claims) is not None, self._tries)
        text = told(broken(less, claims) or wrong, less, where)
        self.found.append(keep(directory, less, text))
        print(f"{text}\n  kept in {self.found[-1]}", flush=True)
