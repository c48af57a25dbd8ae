"""Reject, fix, replay, reset: with the worker, the database and the commands that people use."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from tests.cli.programs import WORKER, kpi, run, running, until
from tests.conftest import connected
from tests.rejected.stage import line

LINES = [line(number).decode() for number in range(50)]
_BOOKS = "SELECT lines, counted, rejected, duplicates FROM ingest_ledger"
_ROWS = "SELECT coalesce(sum(requests), 0) FROM access_kpi WHERE window_seconds = 60"
_UNBALANCED = "SELECT * FROM conservation WHERE difference <> 0"


async def seen(dsn: str) -> tuple[tuple[int, ...], int, list[object]]:
    """The books, the requests in rows, and what does not agree."""
    async with connected(dsn) as connection:
        books = [tuple(row) for row in await connection.fetch(_BOOKS)]
        unbalanced = [dict(row) for row in await connection.fetch(_UNBALANCED)]
        return (books or [()])[0], int(await connection.fetchval(_ROWS)), unbalanced


def worked(here: Path, settings: Mapping[str, str], books: tuple[int, ...]) -> None:
    """Have a worker run until the books are these, and all rows agree with them."""
    dsn = settings["KPI_DATABASE_URL"]
    with running(WORKER, here, settings) as worker:
        until(lambda: worker.process.poll() is not None or asyncio.run(seen(dsn)) == (books, books[1], []))
        assert worker.process.poll() is None, worker.err
        worker.process.terminate()
        done = worker.wait()
    assert done.code == 0, done.err
    assert asyncio.run(seen(dsn)) == (books, books[1], [])


def said(here: Path, settings: Mapping[str, str], *command: str) -> list[list[str]]:
    """What a command prints, in words."""
    done = run(kpi(*command), here, settings)
    assert done.code == 0, done.err
    return [row.split() for row in done.out.splitlines()]


def test_a_format_fix_is_made_up_for(settings: dict[str, str], tmp_path: Path) -> None:
    """Each line counts once: after the replay, after another one, and when all is counted anew after a reset."""
    log = tmp_path / "access.log"
    log.write_text("".join(f"{each}\n" for each in [*LINES, "junk"]))
    wrong = settings | {"KPI_LOG_FORMAT": "combined"}
    said(tmp_path, settings, "ship", str(log))
    worked(tmp_path, wrong, (51, 0, 51, 0))
    assert said(tmp_path, settings, "rejected")[1][:3] == ["format", "51", "0"]
    assert said(tmp_path, settings, "rejected", "--replay")[1] == ["format", "50", "1", "0", "0"]
    assert said(tmp_path, settings, "rejected", "--replay")[1] == ["format", "0", "1", "0", "0"]
    worked(tmp_path, settings, (101, 50, 51, 0))
    assert said(tmp_path, settings, "rejected")[1][:3] == ["format", "51", "50"]
    said(tmp_path, settings, "reset", "--yes")
    worked(tmp_path, settings, (101, 50, 1, 50))
    assert said(tmp_path, settings, "rejected")[1][:3] == ["format", "1", "0"]
