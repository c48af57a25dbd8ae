"""`kpi top` in a terminal of its own, in a pipe, and with Postgres coming and going."""

import asyncio
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.cells import cell_len

from kpi_app.local.postgres import EmbeddedPostgres
from kpi_app.sinks.migrate import migrate
from tests.cli.programs import Program, kpi, run, run_all, running, until
from tests.conftest import connected
from tests.deploy.filled import line, read
from tests.sinks.owner import Owner
from tests.sinks.store import Store, settle
from tests.top.conftest import HOSTILE

LINES = 180

#: Nobody listens there: the lag is not known, which holds up nothing.
NO_KAFKA = {"KPI_BROKERS": "127.0.0.1:1"}

ALTERNATE, BACK = "\x1b[?1049h", "\x1b[?1049l"
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


async def fill(dsn: str, topic: str, lines: list[str]) -> None:
    """Lines of a log, read and merged."""
    async with connected(dsn) as eye:
        store = Store(dsn, eye)
        owner = Owner(topic=topic)
        read(owner, lines)
        sink = await store.sink(topic=topic, larger_s=(3_600, 86_400))
        await sink.flush(owner.checkpoint())
        await settle(sink)
        await sink.close()


@pytest.fixture
async def filled(settings: dict[str, str]) -> dict[str, str]:
    """Settings that lead to an hour of lines, one of them hostile."""
    lines = [*map(line, range(LINES - 1)), line(LINES - 1).replace("/page/14", HOSTILE)]
    await fill(settings["KPI_DATABASE_URL"], settings["KPI_TOPIC"], lines)
    return settings


@contextmanager
def watching(directory: Path, settings: dict[str, str], *options: str) -> Iterator[Program]:
    """A terminal that shows the first frame."""
    with running(kpi("top", *options), directory, settings, terminal=True) as program:
        program.until("unaccounted for")
        yield program


def frames(program: Program) -> list[list[str]]:
    """The lines of each frame that was followed by another, without colours; a frame begins at the upper left."""
    drawn = _STYLE.sub("", program.out.partition(ALTERNATE)[2]).split("\x1b[H")[:-1]
    return [each.splitlines() for each in drawn if "\n" in each]


def test_in_a_pipe_it_is_printed_once(filled: dict[str, str], tmp_path: Path) -> None:
    """As `--once` does: 80 columns of text, what Kafka has left among it, and the end."""
    (tmp_path / "more.log").write_text("".join(f"{line(number)}\n" for number in range(LINES + 20)))
    assert run(kpi("ship", "more.log"), tmp_path, filled).code == 0
    for options, more in (([], {"FORCE_COLOR": "1"}), (["--once"], {})):
        done = run(kpi("top", *options), tmp_path, filled | more)
        said = _STYLE.sub("", done.out)
        assert (done.code, done.err) == (0, "")
        assert "\x1b" not in said
        assert f"{LINES} requests" in said
        assert "to the last line, 2023-11-14 23:14" in said
        assert "5xx            18   10.0 %" in said
        assert "lag 20 lines, " in said
        assert max(map(cell_len, said.splitlines())) <= 80
        assert len(said.splitlines()) <= 24


def test_it_is_live_until_q(filled: dict[str, str], tmp_path: Path) -> None:
    """Frame after frame on a screen of its own, each as large as the terminal; q leaves all as it was."""
    with watching(tmp_path, filled | NO_KAFKA, "--every", "1s") as program:
        until(lambda: len(frames(program)) > 2)
        for frame in frames(program):
            assert len(frame) == 24
            assert max(map(cell_len, frame)) <= 80
            assert "lag – lines" in "".join(frame)
        program.press(b"xq")
        done = program.wait()
        assert program.types_as_before
    assert done.code == 0
    assert done.out.count(ALTERNATE) == done.out.count(BACK) == 1
    assert done.out.endswith("\x1b[?25h" + BACK)  # the cursor is to be seen again
    assert "Traceback" not in done.out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_as_it_ends_all_commands(
    number: signal.Signals, code: int, filled: dict[str, str], tmp_path: Path
) -> None:
    """And leaves the terminal as it was."""
    with watching(tmp_path, filled | NO_KAFKA, "--every", "1h") as program:
        done = program.end(number)
        assert program.types_as_before
    assert done.code == code
    assert BACK in done.out
    assert "Traceback" not in done.out


def resized(program: Program, columns: int, rows: int) -> list[str]:
    """The frame of that size, which no other follows: its last line may still lack its end."""

    def last() -> list[str]:
        return _STYLE.sub("", program.out.rpartition("\x1b[H")[2]).splitlines()

    program.resize(columns, rows)
    until(lambda: len(last()) == rows)
    return last()


def test_another_size_is_drawn_at_once(filled: dict[str, str], tmp_path: Path) -> None:
    """Not with the next look, an hour later."""
    with watching(tmp_path, filled | NO_KAFKA | {"COLUMNS": ""}, "--every", "1h") as program:
        for columns, rows in ((140, 50), (40, 30), (20, 8)):
            frame = resized(program, columns, rows)
            assert cell_len(frame[0]) == columns
            assert "load" in frame[1]
        program.press(b"q")
        assert program.wait().code == 0


def test_what_a_log_holds_does_not_reach_the_terminal(filled: dict[str, str], tmp_path: Path) -> None:
    """Its text is there, without what it would do; without colours, where those are not wanted."""
    with watching(tmp_path, filled | NO_KAFKA | {"NO_COLOR": "1"}, "--range", "1m") as program:
        done = program.end(signal.SIGINT)
    assert "/[red]x[/]:smile:\ufffd[2J\ufffd]0;title" in done.out
    screen = done.out.partition(ALTERNATE)[2].partition(BACK)[0]
    styles = {code for style in _STYLE.findall(screen) for code in style[2:-1].split(";")}
    assert styles <= {"0", "1", "2", ""}
    assert set(re.findall(r"\x1b\[\??[0-9;]*[a-zA-Z]", _STYLE.sub("", screen))) <= {"\x1b[H", "\x1b[?25l", "\x1b[?25h"}
    assert not {"\x07", "\x9b", "\u202e"} & set(done.out)


def test_a_wrong_question_is_one_line(filled: dict[str, str], database: str, tmp_path: Path) -> None:
    """With what would be right, and exit code 1."""
    questions = {
        ("--by", "colour"): "one of status, ",
        ("--range", "soon"): "--range: 'soon' is not a duration",
        ("--window", "5m"): "--window 5m: one of 1m, 1h, 1d",
        ("--range", "400d", "--window", "1m"): "1 to 400 windows of 1m",
        ("--every", "0s"): "at least 1s",
    }
    commands = [kpi("top", *options) for options in questions]
    for done, why in zip(run_all(commands, tmp_path, filled), questions.values(), strict=True):
        assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1), done
        assert why in done.err


async def test_a_missing_schema_is_one_line(database: str, tmp_path: Path) -> None:
    """In a terminal as well: no screen is opened for it."""
    for terminal in (False, True):
        done = run(kpi("top"), tmp_path, {"KPI_DATABASE_URL": database}, terminal=terminal)
        said = done.out + done.err
        assert (done.code, len(said.splitlines())) == (1, 1), done
        assert "run `kpi migrate`" in said


async def test_it_outlives_postgres(breakable_postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    """While Postgres is away the last look stays, with the reason above it; then it goes on by itself."""
    dsn = breakable_postgres.dsn
    await migrate(dsn)
    await fill(dsn, "access-log", [line(0)])
    settings = {"KPI_DATABASE_URL": dsn, **NO_KAFKA}
    with watching(tmp_path, settings, "--every", "1s") as program:
        await asyncio.to_thread(breakable_postgres.kill)
        await asyncio.to_thread(until, lambda: any("as of " in frame[1] for frame in frames(program)))
        troubled = next(frame for frame in frames(program) if "as of " in frame[1])
        assert ": Postgres at " in troubled[1]
        assert "   1 requests" in troubled[2]
        assert run(kpi("top", "--once"), tmp_path / "other", settings).code == 1
        await asyncio.to_thread(breakable_postgres.start)
        await fill(dsn, "access-log", [line(0), line(1), line(2)])
        await asyncio.to_thread(until, lambda: "   3 requests" in frames(program)[-1][1])  # where the reason was
        program.press(b"q")
        assert (await asyncio.to_thread(program.wait)).code == 0
