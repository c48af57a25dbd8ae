"""A short run of what `make chaos` does for as long as one likes, and proof that it can fail."""

from pathlib import Path
from time import monotonic

from tests.chaos.run import check, expect, run
from tests.chaos.schedule import TWO
from tests.chaos.stage import Options, Stage, opened
from tests.conftest import execute
from tests.exactness.lines import at
from tests.exactness.workers import until

OPTIONS = Options(
    seed=6,
    minutes=10,  # the faults are what ends it
    workers=2,
    rate=1_000,
    partitions=4,
    only=("connections cut in mid-transaction", "worker killed, empty disk", "postgres killed", TWO),
)

#: The row of the first of the smallest windows has so many lines more, or less.
_IN_A_ROW = """
UPDATE access_kpi SET requests = requests + ({by})
 WHERE (window_seconds, window_start)
     = (SELECT window_seconds, window_start FROM access_kpi ORDER BY window_seconds, window_start LIMIT 1)
"""
_IN_A_SEGMENT = "UPDATE segment SET requests = requests + 1 WHERE ctid = (SELECT ctid FROM segment LIMIT 1)"


async def test_faults_change_no_number_and_a_changed_number_is_found(tmp_path: Path) -> None:
    """After every fault all is got over and every row is right; a line too few, too many or not read is told."""
    async with opened(OPTIONS, tmp_path) as stage:
        outcome = await run(stage, OPTIONS, monotonic())
        assert outcome.exact, [*outcome.wrong, *outcome.verdict.differences]
        assert [fault.kind for fault in outcome.happened] == list(OPTIONS.only)
        assert outcome.lines > 10_000
        assert outcome.looks > 0
        await stage.fleet.stop_all()
        await _is_told(stage)


async def _is_told(stage: Stage) -> None:
    """Change one thing after the other, with nobody there to mend it; `check` and `watch` have to see it."""
    dsn = stage.postgres.dsn
    expected, _ = await expect(stage, OPTIONS)
    for by, lost, twice in ((-1, 1, 0), (+3, 0, 2)):
        await execute(dsn, _IN_A_ROW.format(by=by))
        verdict = await check(stage, OPTIONS, expected)
        assert (verdict.lost, verdict.twice) == (lost, twice)
        assert len(verdict.differences) == 1
    await _is_seen(stage, "requests of rows")  # which are ahead of the ledger now
    await execute(dsn, _IN_A_ROW.format(by=-2))
    await execute(dsn, _IN_A_SEGMENT)
    await _is_seen(stage, "requests of segments")
    stage.producer.send([at(1, 0)])
    expected, _ = await expect(stage, OPTIONS)
    verdict = await check(stage, OPTIONS, expected, patience_s=0.1)
    assert (verdict.lost, verdict.twice) == (1, 0)
    assert any("not all is in its row" in line for line in verdict.differences)


async def _is_seen(stage: Stage, what: str) -> None:
    async def seen() -> bool:
        return any(what in line for line in stage.watch.broken)

    await until(what, seen)
