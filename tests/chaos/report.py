"""Results of runs, a JSON line each, added up to a table.

python -m tests.chaos.report chaos.jsonl           # Markdown
python -m tests.chaos.report chaos.jsonl --json
"""

import argparse
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

#: A result: what `tests.chaos.run` writes of one run.
Result = Mapping[str, Any]


def append(file: Path, result: Result) -> None:
    """Add the result of a run to a file."""
    with file.open("a") as lines:
        lines.write(json.dumps(result) + "\n")


def read(files: Iterable[Path]) -> list[Result]:
    """All results of some files."""
    return [json.loads(line) for file in files for line in file.read_text().splitlines() if line]


def add_up(results: Sequence[Result]) -> dict[str, Any]:
    """All runs as one."""
    recoveries = defaultdict(list)
    for fault in (fault for result in results for fault in result["faults"]):
        recoveries[fault["kind"]].append(fault["recovered_s"])
    return {
        "versions": sorted({f"{result['version']} ({result['commit']})" for result in results}),
        "seeds": [result["seed"] for result in results],
        "runs": len(results),
        "failed": sum(not result["exact"] for result in results),
        "minutes": round(sum(result["seconds"] for result in results) / 60, 1),
        **{name: sum(result[name] for result in results) for name in ("lines", "rows", "listed", "looks")},
        "lost": sum(result["lost"] for result in results),
        "counted_twice": sum(result["counted_twice"] for result in results),
        "faults": sum(map(len, recoveries.values())),
        "kinds": {kind: _recovery(times) for kind, times in sorted(recoveries.items())},
        "ends": dict(sum((Counter(result["ends"]) for result in results), Counter()).most_common()),
    }


def _recovery(times_s: Sequence[float | None]) -> dict[str, Any]:
    known = [time_s for time_s in times_s if time_s is not None]
    return {
        "faults": len(times_s),
        "median_s": round(statistics.median(known), 1) if known else None,
        "worst_s": round(max(known), 1) if known else None,
    }


def table(added: Mapping[str, Any]) -> str:
    """Markdown: the kinds of faults with their recovery, and what it all came to."""
    rows = [("fault", "times", "recovery, median", "worst")]
    rows += [
        (kind, str(told["faults"]), _seconds(told["median_s"]), _seconds(told["worst_s"]))
        for kind, told in added["kinds"].items()
    ]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---|---|---|---|")
    return "\n".join(
        [
            "| version | runs | seeds | minutes | lines | faults | kinds | lost | counted twice |",
            "|---|---|---|---|---|---|---|---|---|",
            f"| {', '.join(added['versions'])} | {_runs(added)} | {_spans(added['seeds'])} | {added['minutes']} "
            f"| {added['lines']:,} | {added['faults']} | {len(added['kinds'])} | {added['lost']} "
            f"| {added['counted_twice']} |",
            "",
            *lines,
            "",
            f"Compared: {added['rows']:,} rows, {added['listed']:,} values of lists, all books and dead letters; "
            f"and the ledger with its segments in {added['looks']:,} states on the way.",
        ]
    )


def _runs(added: Mapping[str, Any]) -> str:
    return f"{added['runs']}" + (f", {added['failed']} failed" if added["failed"] else "")


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value} s"


def _spans(seeds: Sequence[int]) -> str:
    spans: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if spans and seed == spans[-1][1] + 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in spans)


def main() -> None:
    """Add up the results in files."""
    parser = argparse.ArgumentParser(description="Add up the results of chaos runs.")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    added = add_up(read(arguments.files))
    print(json.dumps(added, indent=2) if arguments.json else table(added))


if __name__ == "__main__":
    main()
