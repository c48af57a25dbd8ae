"""The commands as a new user meets them: their help, what they print, and that it fits and is safe to print."""

import gzip
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from kpi_app import __version__
from kpi_app.cli import cli
from kpi_app.demo.terminal import safe
from kpi_app.settings import Settings
from kpi_app.sources.traffic import traffic
from tests.cli.programs import kpi, run, running
from tests.conftest import connected
from tests.recount import recount

COMMANDS = ["demo", "check", "up", "migrate", "ship", "report", "top", "rejected", "reset", "settings"]
LINE = '1.2.3.4 - - [23/May/2023:14:21:0{} +0000] "GET / HTTP/1.1" 200 5'


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some traffic, with lines that are late and lines that can't be read."""
    path = tmp_path_factory.mktemp("logs") / "access.log"
    lines = traffic(3_000, datetime(2023, 5, 23, tzinfo=UTC), 0.5, 1)
    path.write_text("".join(f"{line}\n" for line in [*lines, "what?", "", LINE.format("x")]))
    return path


def fits(text: str, columns: int = 80) -> bool:
    return all(len(line) <= columns for line in text.splitlines())


def test_every_command_is_listed_with_what_it_does() -> None:
    """In a line each, none of them cut."""
    listed = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    for command in COMMANDS:
        assert re.search(rf"^  {command} +[A-Z].*\.$", listed, re.MULTILINE), listed
    assert "..." not in listed.partition("Commands:")[2]
    assert "faust -A kpi_app worker" in listed
    assert fits(listed)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str) -> None:
    """One that begins like a line to type."""
    said = CliRunner().invoke(cli, [command, "--help"], terminal_width=80).output
    assert re.search(rf"Example: (KPI_\S+ )?kpi {command}", said), said
    assert fits(said)


def test_the_version_is_told(tmp_path: Path) -> None:
    """As commands do."""
    assert run(kpi("--version"), tmp_path).out == f"kpi_app {__version__}\n"


def test_settings_are_listed_each_with_its_default_and_meaning(tmp_path: Path) -> None:
    """In 80 columns, without a terminal's codes; what is set says what it would be otherwise."""
    done = run(kpi("settings"), tmp_path, {"KPI_GRACE": "120s", "KPI_TOPIC": "nginx"})
    lines = done.out.splitlines()
    assert [line.split("=")[0] for line in lines if line.startswith("KPI_")] == [
        f"KPI_{name.upper()}" for name in Settings.model_fields
    ]
    assert "KPI_GRACE=2m  (default: 1m)" in lines
    assert "KPI_TOPIC=nginx  (default: access-log)" in lines
    assert "KPI_WINDOWS=1m,1h,1d  (default)" in lines
    assert all(lines[i + 1].startswith("  ") for i, line in enumerate(lines) if line.startswith("KPI_"))
    assert fits(done.out)
    assert done.out.replace("\n", "").isprintable()


def test_settings_come_from_a_file_too(tmp_path: Path) -> None:
    """From `.env` in the working directory; the environment goes before it."""
    (tmp_path / ".env").write_text("KPI_GRACE=5m\nexport KPI_TOPIC='from-file'\n")
    done = run(kpi("settings"), tmp_path, {"KPI_TOPIC": "from-environment"})
    assert "KPI_GRACE=5m" in done.out
    assert "KPI_TOPIC=from-environment" in done.out


def test_check_says_what_a_recount_says(log: Path, tmp_path: Path) -> None:
    """Lines, rejected ones by reason, format and times, of a plain file and of a packed one."""
    packed = tmp_path / "access.log.1.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    truth = recount(log.read_text().splitlines())
    rejected = sum(truth.rejected.values())
    done = run(kpi("check", log, packed, "--max-rejected", "50"), tmp_path)
    assert (done.code, done.err) == (0, "")
    for name in (log, packed):
        said = f"{name}: {truth.lines:,} lines = {truth.counted:,} counted + {rejected:,} rejected"
        assert said in done.out
    for reason, count in truth.rejected.items():
        assert done.out.count(f"  rejected  {reason} {count:,}\n") == 2
    for number in list(truth.reasons)[:1]:
        assert f"    line {number + 1:,}: " in done.out
    first = min(window.first_event for window in truth.windows.values() if window.first_event)
    last = max(window.last_event for window in truth.windows.values() if window.last_event)
    assert f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC" in done.out
    assert f"  late      {sum(window.late for window in truth.windows.values())} of" in done.out


@pytest.mark.parametrize(("limit", "code"), [("33", 1), ("34", 0), ("0", 1), ("100", 0)])
def test_check_fails_when_too_many_lines_are_rejected(limit: str, code: int, tmp_path: Path) -> None:
    """A third of the lines is more than 33 %, and less than 34."""
    (tmp_path / "a.log").write_text("\n".join([LINE.format(1), "what?", LINE.format(2)]))
    done = run(kpi("check", "a.log", "--max-rejected", limit), tmp_path)
    assert done.code == code
    assert "1 rejected (33.33 %)" in done.out
    assert done.err == ("" if code == 0 else f"more than {limit} % of the lines are rejected\n")


def test_check_fails_by_default_over_one_percent(tmp_path: Path) -> None:
    """One in a hundred is well."""
    lines = [LINE.format(1)] * 99 + ["what?"]
    (tmp_path / "well.log").write_text("\n".join(lines))
    (tmp_path / "bad.log").write_text("\n".join([*lines, "and what?"]))
    assert run(kpi("check", "well.log"), tmp_path).code == 0
    assert run(kpi("check", "well.log", "bad.log"), tmp_path).code == 1


def test_check_says_which_of_several_files_is_bad(tmp_path: Path) -> None:
    """The last line alone tells it."""
    (tmp_path / "well.log").write_text(LINE.format(1))
    (tmp_path / "bad.log").write_text("what?")
    done = run(kpi("check", "well.log", "bad.log"), tmp_path)
    assert done.err == "bad.log: more than 1 % of the lines are rejected\n"


def test_check_says_visitors_times_and_what_is_missing(log: Path, tmp_path: Path) -> None:
    """Whether request times and hosts are understood is seen at once."""
    truth = recount(log.read_text().splitlines())
    said = run(kpi("check", log, "--max-rejected", "50"), tmp_path).out
    assert re.search(r"^  visitors  [1-9][\d,]*$", said, re.MULTILINE)
    assert "  times " not in said
    assert "\n  missing   host, request time in all lines\n" in said
    timed = [f'{LINE.format(n)} "-" "curl" rt=0.{n}00 host=a.example' for n in range(1, 4)]
    json = '{"time":"2023-05-23T14:21:09Z","ip":"1.2.3.4","uri":"/","status":200,"duration":1,"host":"a.example"}'
    (tmp_path / "timed.log").write_text("\n".join([*timed, LINE.format(4), json]))
    said = run(kpi("check", "timed.log"), tmp_path).out
    assert re.search(r"^  times     p50 0\.\d{3} s, p95 0\.\d{3} s \(3 of 5 lines\)$", said, re.MULTILINE)
    assert "\n  missing   client in 1, referrer in 2, agent in 2, host in 1, request time in 2 of 5 lines\n" in said
    assert truth.counted > 2_000


def test_check_reads_standard_input(log: Path, tmp_path: Path) -> None:
    """Plain and packed, as files are."""
    of_file = run(kpi("check", log, "--max-rejected", "50"), tmp_path).out
    for content in (log.read_bytes(), gzip.compress(log.read_bytes())):
        words = kpi("check", "-", "--max-rejected", "50")
        done = subprocess.run(words, input=content, capture_output=True, cwd=tmp_path, check=True)
        assert done.stdout.decode() == of_file.replace(str(log), "-")


def test_check_names_standard_input_where_it_can_not_be_read(tmp_path: Path) -> None:
    """Not the file that it is kept in meanwhile."""
    done = subprocess.run(kpi("check", "-"), input=b"BZh91AY", capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("standard input is compressed with bzip2: ")


def test_check_rejects_what_the_worker_would_as_future(tmp_path: Path) -> None:
    """A clock that is ahead is seen before anything is sent."""
    at = (datetime.now(UTC) + timedelta(hours=1)).strftime("%d/%b/%Y:%H:%M:%S +0000")
    (tmp_path / "a.log").write_text(LINE.format(1) + "\n" + LINE.replace("23/May/2023:14:21:0{} +0000", at))
    assert "  rejected  future 1\n" in run(kpi("check", "a.log"), tmp_path).out


def test_check_of_an_empty_file_is_well(tmp_path: Path) -> None:
    """There is nothing to be rejected."""
    (tmp_path / "a.log").touch()
    done = run(kpi("check", "a.log"), tmp_path)
    assert (done.code, done.out) == (0, "a.log: 0 lines = 0 counted + 0 rejected\n")


def test_what_a_log_holds_does_not_reach_the_terminal(tmp_path: Path) -> None:
    """Neither control characters nor the markup and emoji codes of what prints it."""
    evil = "\x1b[2J\x1b]0;title\x07 \x9b31m \u202eabc [bold red]x[/] [link=http://a]y[/link] :smile: \r over"
    name = "a [bold]b :smile:\x1b[2J.log"
    (tmp_path / name).write_text(f"{evil}\n", newline="")
    with running(kpi("check", name), tmp_path, terminal=True) as program:
        said = program.wait().out
    assert "a [bold]b :smile:\ufffd[2J.log: 1 line =" in said
    assert "[bold red]x[/] [link=http://a]y[/link] :smile:" in said
    printed = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.replace("\r\n", "\n"))  # what a progress bar needs
    assert "\x1b[2J.log" not in said
    assert "\x1b[2J\x1b]" not in said
    assert not {"\x07", "\x9b", "\u202e"} & set(printed)


@given(st.text())
def test_lines_for_the_terminal_hold_nothing_but_text(text: str) -> None:
    """Line breaks are ours; whatever else is not printable is replaced."""
    assert safe(text).replace("\n", "").isprintable()
    assert len(safe(text)) == len(text)


def test_migrate_says_what_it_applied_and_can_be_repeated(database: str, tmp_path: Path) -> None:
    """The second time there is nothing to do."""
    settings = {"KPI_DATABASE_URL": database}
    first, second = (run(kpi("migrate"), tmp_path, settings) for _ in range(2))
    assert first.out.startswith("applied 0001")
    assert second.out == "nothing to apply: the schema is up to date\n"
    assert (first.code, second.code) == (0, 0)


def test_ship_tells_how_much_and_goes_on_where_it_stopped(log: Path, settings: dict[str, str], tmp_path: Path) -> None:
    """Without a terminal there is no bar; what was sent is not sent again."""
    lines = len(log.read_text().splitlines())
    first, second = (run(kpi("ship", log), tmp_path, settings) for _ in range(2))
    assert (first.code, first.out, first.err) == (0, f"{lines:,} lines sent to {settings['KPI_TOPIC']}\n", "")
    assert (second.code, second.out) == (0, "nothing to send: these files were sent before\n")


def test_ship_shows_its_progress_in_a_terminal(log: Path, settings: dict[str, str], tmp_path: Path) -> None:
    """A bar that is gone when it is done."""
    with running(kpi("ship", log, "--rate", "4000"), tmp_path, settings, terminal=True) as program:
        done = program.wait()
    assert done.code == 0
    assert re.search(r"shipping .* \d+ %", done.out)
    assert done.out.rstrip().endswith(f"lines sent to {settings['KPI_TOPIC']}")


async def test_reset_changes_nothing_unless_told_so(settings: dict[str, str], tmp_path: Path) -> None:
    """It says what it would forget; where nobody can answer it asks for `--yes`."""
    async with connected(settings["KPI_DATABASE_URL"]) as connection:
        await connection.execute("INSERT INTO kpi_feed VALUES ('access', $1, '{60}')", settings["KPI_TOPIC"])
        done = run(kpi("reset"), tmp_path, settings)
        assert done.code == 1
        assert f"kpi-{settings['KPI_TOPIC']}-segments-changelog" in done.err
        assert done.err.endswith("\nnothing was changed; where nobody can answer, say --yes\n")
        assert await connection.fetchval("SELECT count(*) FROM kpi_feed") == 1
        assert run(kpi("reset", "--yes"), tmp_path, settings).code == 0
        assert await connection.fetchval("SELECT count(*) FROM kpi_feed") == 0
