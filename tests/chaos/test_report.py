"""Results add up."""

import json
from pathlib import Path
from typing import Any

from tests.chaos.report import add_up, append, read, table


def _result(seed: int, **changed: Any) -> dict[str, Any]:
    faults = [
        {"kind": "broker killed", "recovered_s": 2.0 * seed},
        {"kind": "worker stopped", "recovered_s": 1.0},
    ]
    counts = {"lines": 1_000, "rows": 10, "listed": 100, "looks": 50, "lost": 0, "counted_twice": 0}
    told = {"version": "0.1.0", "commit": "abc", "seed": seed, "seconds": 90.0, "exact": True, "faults": faults}
    return {**told, **counts, "ends": {"70: cannot checkpoint": 1}, **changed}


def test_results_of_several_runs_add_up(tmp_path: Path) -> None:
    """A long run may be split: sums of lines and faults, median and worst over all of a kind."""
    for seed in (1, 2, 3):
        append(tmp_path / "results", _result(seed))
    added = add_up(read([tmp_path / "results"]))
    assert (added["runs"], added["lines"], added["faults"], added["minutes"]) == (3, 3_000, 6, 4.5)
    assert added["kinds"]["broker killed"] == {"faults": 3, "median_s": 4.0, "worst_s": 6.0}
    assert added["ends"] == {"70: cannot checkpoint": 3}
    assert json.loads(json.dumps(added)) == added
    assert "| broker killed | 3 | 4.0 s | 6.0 s |" in table(added)
    assert "| 0.1.0 (abc) | 3 | 1 to 3 | 4.5 | 3,000 | 6 | 2 | 0 | 0 |" in table(added)


def test_what_was_not_exact_stays_in_the_table() -> None:
    """A failed run, what it lost, and a fault that was never got over."""
    never = [{"kind": "disk full", "recovered_s": None}]
    text = table(add_up([_result(1), _result(5, exact=False, lost=2, counted_twice=1, faults=never)]))
    assert "| 2, 1 failed | 1, 5 |" in text
    assert "| 2 | 1 |" in text
    assert "| disk full | 1 | never | never |" in text
