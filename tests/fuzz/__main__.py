"""`make fuzz`: try batches by a seed for some time, and long lines; exit code 1 where a claim does not hold."""

import argparse
import sys
from pathlib import Path
from time import monotonic

from tests.fuzz.claims import broken
from tests.fuzz.findings import kept, told
from tests.fuzz.growth import GROWING, too_slow
from tests.fuzz.run import Run


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
    run.until(end_s, arguments.first)
    print(f"seed {arguments.seed}: {run.tried:,} values, {len(run.found)} findings;", end=" ")
    print(f"of {len(GROWING)} kinds of long lines {len(slow)} too slow")
    return 1 if run.found or slow else 0


if __name__ == "__main__":
    sys.exit(main())
