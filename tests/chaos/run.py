"""One run: faults by a seed for some minutes, calm, and the comparison. Exit code 1 when anything differs.

python -m tests.chaos.run --minutes 5 --seed 1 --workers 3 --rate 5000
"""

import argparse
import asyncio
import multiprocessing
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from kpi_app import __version__
from tests.chaos.compare import Verdict, compare, listings
from tests.chaos.faults import Unheard, inject
from tests.chaos.report import add_up, append, table
from tests.chaos.schedule import DECK, TWO, Planned, schedule
from tests.chaos.stage import SIZES_S, TOP, TOPIC, Options, Stage, opened
from tests.chaos.topic import Copy, read_back
from tests.chaos.watch import PATIENCE_S
from tests.exactness import rig as exactness
from tests.exactness.lines import Source
from tests.exactness.truth import Truth, part, united
from tests.exactness.workers import Unmet, until

_LISTED = "SELECT * FROM access_kpi_by"
#: Of the differences, so many are told.
_TOLD = 40


@dataclass
class Happened:
    """A fault that was injected."""

    number: int
    kind: str
    #: Since the start of the run.
    at_s: float
    #: From the beginning of the fault to its end.
    lasted_s: float = 0.0
    #: From its end on; None: never.
    recovered_s: float | None = None
    what: str = ""


@dataclass
class Outcome:
    """What a run has shown."""

    verdict: Verdict = field(default_factory=Verdict)
    happened: list[Happened] = field(default_factory=list)
    #: What else was wrong: states on the way, a fault that was not got over, a worker that wanted help.
    wrong: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    #: In the topic, and handed to its client: a broker that is killed may get a batch twice.
    lines: int = 0
    sent: int = 0
    #: Those of them that a client had when it was given up: in the topic or not.
    unknown: int = 0
    looks: int = 0
    seconds: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether there is nothing to say against it."""
        return not self.wrong and not self.verdict.differences

    def result(self, options: Options) -> dict[str, Any]:
        """As it is kept."""
        return {
            "version": __version__,
            "commit": _commit(),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            **{name: value for name, value in asdict(options).items() if name != "only"},
            "seconds": round(self.seconds, 1),
            "lines": self.lines,
            "sent": self.sent,
            "unknown": self.unknown,
            "exact": self.exact,
            "lost": self.verdict.lost,
            "counted_twice": self.verdict.twice,
            "rows": self.verdict.rows,
            "listed": self.verdict.listed,
            "looks": self.looks,
            "faults": [asdict(fault) for fault in self.happened],
            "ends": dict(self.ends),
            "wrong": self.wrong,
            "differences": self.verdict.differences[:_TOLD],
        }


async def run(stage: Stage, options: Options, began_s: float) -> Outcome:
    """Inject faults until the time is over, wait for calm, compare."""
    outcome = Outcome()
    until_s = began_s + 60 * options.minutes
    for planned in schedule(options.seed, options.only):
        await asyncio.sleep(planned.pause_s)
        if monotonic() > until_s:
            break
        try:
            await _flowing(stage)
        except Unmet as unmet:
            outcome.wrong.append(str(unmet))
            break
        if not await _happen(stage, planned, outcome, began_s):
            break
    await asyncio.to_thread(stage.producer.finish)
    outcome.seconds = monotonic() - began_s
    _say(f"{outcome.seconds:7.1f} s  {stage.producer.sent:,} lines sent; recounting them, waiting for calm")
    expected, unkept = await expect(stage, options)
    _say(f"{monotonic() - began_s:7.1f} s  recounted")
    outcome.verdict = await check(stage, options, expected)
    _say(f"{monotonic() - began_s:7.1f} s  compared")
    outcome.lines = sum(books["lines"] for books in expected.books.values())
    stage.fleet.check()
    outcome.wrong += unkept
    outcome.sent, outcome.unknown, outcome.looks = stage.producer.sent, stage.producer.unknown, stage.watch.looks
    outcome.wrong += stage.watch.broken
    outcome.wrong += [f"worker {end.worker} ended: {end.said}" for end in stage.fleet.ends if end.wants_help]
    outcome.ends.update(f"{end.code}: {end.said[:160]}" for end in stage.fleet.ends)
    return outcome


async def _flowing(stage: Stage) -> None:
    """A fault that meets no lines would prove nothing."""
    before = stage.producer.acknowledged.total()

    async def more() -> bool:
        if stage.producer.error:
            raise stage.producer.error
        return stage.producer.acknowledged.total() > before

    await until("lines flow", more)


async def _happen(stage: Stage, planned: Planned, outcome: Outcome, began_s: float) -> bool:
    happened = Happened(planned.number, planned.name, round(monotonic() - began_s, 1))
    outcome.happened.append(happened)
    try:
        happened.what = await inject(stage, planned)
        happened.lasted_s = round(monotonic() - began_s - happened.at_s, 1)
        happened.recovered_s = round(await stage.watch.got_over(), 2)
    except (Unheard, Unmet) as unmet:
        outcome.wrong.append(f"fault {planned.number}, {' + '.join(planned.kinds)}: {unmet}")
    over = "never got over" if happened.recovered_s is None else f"got over in {happened.recovered_s:.1f} s"
    _say(f"{happened.at_s:7.1f} s  {planned.number:3} {happened.kind}: {happened.what}; {over}")
    return happened.recovered_s is not None


async def expect(stage: Stage, options: Options) -> tuple[Truth, list[str]]:
    """What the topic holds must come to, and what Kafka has lost of it. No lines may come any more."""
    kept = await asyncio.to_thread(
        read_back, stage.kafka.bootstrap, TOPIC, options.partitions, stage.directory / "read-back"
    )
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as recounting:
        loop = asyncio.get_running_loop()
        parts = [loop.run_in_executor(recounting, part, number, kept[number], 0, SIZES_S) for number in kept]
        expected = united(dict(zip(kept, await asyncio.gather(*parts), strict=True)), SIZES_S)
    # All partitions are idle, or will be soon: every window closes.
    expected = expected._replace(rows={key: row | {"closed": True} for key, row in expected.rows.items()})
    return expected, _unkept(stage.producer.acknowledged, kept)


async def check(stage: Stage, options: Options, expected: Truth, patience_s: float = PATIENCE_S) -> Verdict:
    """Compare what is in Postgres and in the dead letters, once all is there or after a while."""
    source = Source(options.partitions)
    site = exactness.Site(stage.kafka.bootstrap, stage.postgres.dsn, TOPIC, stage.directory, source)
    async with exactness.opened(site) as rig:
        calm = True
        try:
            await until("calm", lambda: rig.settled(expected), patience_s)
        except Unmet:
            calm = False
        found = await rig.found()
        lists = listings(await rig.database.fetch(_LISTED))
    verdict = await asyncio.to_thread(compare, expected, found, lists, TOP)
    if not calm:
        verdict.differences.insert(0, f"not all is in its row after {patience_s:g} s without new lines")
    return verdict


def _unkept(acknowledged: Mapping[int, int], kept: Mapping[int, Copy]) -> list[str]:
    """Kafka itself must have what it acknowledged, or the run says nothing."""
    return [
        f"Kafka acknowledged {count} lines in partition {partition} and holds {kept[partition].records}"
        for partition, count in acknowledged.items()
        if count > kept[partition].records
    ]


async def once(options: Options, directory: Path) -> Outcome:
    """A run from nothing to its outcome."""
    async with opened(options, directory) as stage:
        return await run(stage, options, monotonic())


def _commit() -> str:
    git = ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _say(line: str) -> None:
    print(line, flush=True)


def _options() -> argparse.Namespace:
    default = Options()
    parser = argparse.ArgumentParser(description="Faults by a seed under load; then every row is compared.")
    parser.add_argument("--minutes", type=float, default=default.minutes)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--workers", type=int, default=default.workers)
    parser.add_argument("--rate", type=float, default=default.rate, help="lines a second")
    parser.add_argument("--partitions", type=int, default=default.partitions)
    parser.add_argument("--speed", type=float, default=default.speed, help="seconds of event time in a second")
    kinds = [*DECK, TWO]
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=kinds,
        metavar="FAULT",
        help="this fault, in the order given; no others",
    )
    parser.add_argument("--results", type=Path, default=Path("chaos.jsonl"), help="where the result is added")
    parser.add_argument("--keep", action="store_true", help="keep logs and data even when all is exact")
    return parser.parse_args()


def main() -> int:
    """The command."""
    if sys.platform != "linux":
        sys.exit("make chaos needs Linux: elsewhere the disk of a running worker can't be made full")
    arguments = vars(_options())
    results, keep = arguments.pop("results"), arguments.pop("keep")
    options = Options(**arguments | {"only": tuple(arguments["only"])})
    directory = Path(tempfile.mkdtemp(prefix="kpi-chaos-"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave nothing running or mounted behind
    _say(f"seed {options.seed}: {options.workers} workers, {options.rate:,.0f} lines/s, {options.minutes:g} minutes")
    try:
        outcome = asyncio.run(once(options, directory))
    except BaseException:
        _say(f"logs are in {directory}")
        raise
    append(results, outcome.result(options))
    print("", table(add_up([outcome.result(options)])), "", sep="\n")
    for line in [*outcome.wrong, *outcome.verdict.differences][:_TOLD]:
        _say(line)
    if outcome.exact:
        _say(f"exact; added to {results}")
    else:
        _say(f"NOT EXACT: seed {options.seed}; {len(outcome.verdict.differences)} differences; logs in {directory}")
    if outcome.exact and not keep:
        shutil.rmtree(directory, ignore_errors=True)
    return 0 if outcome.exact else 1


if __name__ == "__main__":
    sys.exit(main())
