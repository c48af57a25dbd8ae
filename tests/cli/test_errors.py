"""What the user can mend is said in one clear line, whatever the command; never a traceback, never a secret."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kpi_app.database_url import without_password
from kpi_app.errors import UserError
from kpi_app.settings import load
from kpi_app.sinks.migrate import migrate
from tests.cli.programs import END_S, WORKER, Done, Program, bound_by_permissions, kpi, run, run_all
from tests.conftest import Kafka

SECRET = "pa55word"  # noqa: S105  a made-up one
#: Nothing listens on this port.
NOWHERE = "127.0.0.1:1"
NO_DATABASE = f"postgresql://user:{SECRET}@{NOWHERE}/kpi"

NEEDS_POSTGRES = [WORKER, kpi("migrate"), kpi("reset", "--yes"), kpi("reset")]
NEEDS_A_PLACE = [WORKER, kpi("up"), kpi("demo", "--once")]
NEEDS_KAFKA = [WORKER, kpi("ship", "../access.log"), kpi("reset", "--yes"), kpi("reset")]


def refused(done: Done, *said: str) -> None:
    """One line on stderr, with all of this in it; nothing but faust's banner on stdout."""
    assert done.code != 0
    assert done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.out + done.err
    assert SECRET not in done.out + done.err
    for text in said:
        assert re.search(text, done.err), done.err
    assert done.out == "" or done.out.startswith("+ƒaµS†")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A working directory with a log in it."""
    (tmp_path / "access.log").write_text('1.2.3.4 - - [23/May/2023:14:21:08 +0000] "GET / HTTP/1.1" 200 5\n')
    return tmp_path


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("KPI_BROKERS", "kafka", "'kafka' is not host:port"),
        ("KPI_BROKERS", "a:1,b:70000", "'b:70000' is not host:port"),
        ("KPI_DATABASE_URL", SECRET, "(hidden): not postgresql://user:password@host:port/database"),
        ("KPI_DATABASE_URL", f"mysql://u:{SECRET}@h/d", "(hidden): not postgresql://"),
        ("KPI_DATABASE_URL", f"postgresql://u:{SECRET}@[::1/d", "(hidden): not postgresql://"),
        ("KPI_TOPIC", "a b", "a topic's name has"),
        ("KPI_LOG_FORMAT", "xml", "one of: auto, common"),
        ("KPI_WINDOWS", "2m", "the first window is the base: 1s to 1m"),
        ("KPI_WINDOWS", "1m,90s", "not a multiple of the window before it"),
        ("KPI_WINDOWS", "1m,", "is not a duration such as"),
        ("KPI_GRACE", "-1s", "is not a duration such as"),
        ("KPI_IDLE_AFTER", "soon", "'soon' is not a duration such as 30s"),
        ("KPI_EMIT_EVERY", "0s", "greater than or equal to 1"),
        ("KPI_CORRECT_FOR", "never", "'never' is not a duration such as"),
        ("KPI_FUTURE_LIMIT", "", "is not a duration such as"),
        ("KPI_TIMEZONE", "Mars/Base", "not a time zone such as Europe/Berlin"),
        ("KPI_WEB_PORT", "http", "valid integer"),
        ("KPI_WEB_PORT", "65536", "less than or equal to 65535"),
    ],
)
def test_each_wrong_setting_is_named_with_its_value_and_what_would_be_right(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line; a secret is not repeated."""
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as error:
        load()
    line = str(error.value)
    assert line.startswith(f"{name}=")
    assert said in line
    assert "\n" not in line
    assert SECRET not in line


def test_a_wrong_setting_stops_every_command(here: Path) -> None:
    """Before it does anything."""
    words = (["settings"], ["demo"], ["up"], ["check", "access.log"])
    settings = {"KPI_GRACE": "nonsense", "KPI_DATA_DIR": str(here / "data")}
    for done in run_all([WORKER, *(kpi(*each) for each in words)], here, settings):
        refused(done, "KPI_GRACE='nonsense': .* is not a duration such as 30s")
        assert done.out == ""
    assert not (here / "data").exists()


def test_two_wrong_settings_are_two_lines(here: Path) -> None:
    """All that is wrong is said at once."""
    done = run(kpi("settings"), here, {"KPI_GRACE": "x", "KPI_WEB_PORT": "y"})
    assert [line.split("=")[0] for line in done.err.splitlines()] == ["KPI_GRACE", "KPI_WEB_PORT"]


@pytest.mark.parametrize(
    "url", [f"//u:{SECRET}@h/d", f"//u:x/{SECRET}@y@h:1/d", f"//h/d?user=u&password={SECRET}&sslmode=require"]
)
def test_a_url_is_shown_without_its_password(url: str) -> None:
    """However odd the URL is."""
    shown = without_password(f"postgresql:{url}")
    assert "***" in shown
    assert SECRET not in shown


async def test_a_broker_that_is_not_there_is_one_line(here: Path, database: str) -> None:
    """It names the setting and the address."""
    await migrate(database)
    for done in run_all(NEEDS_KAFKA, here, {"KPI_BROKERS": NOWHERE, "KPI_DATABASE_URL": database}):
        refused(done, f"KPI_BROKERS={NOWHERE}: no broker")


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


async def test_servers_that_say_nothing_are_given_up_within_ten_seconds(here: Path, database: str, silent: str) -> None:
    """Here a busy machine may need as long again to start four commands at once."""
    await migrate(database)
    kafka = {"KPI_DATABASE_URL": database, "KPI_BROKERS": silent}
    postgres = {"KPI_DATABASE_URL": f"postgresql://u:{SECRET}@{silent}/kpi"}
    asked = [(WORKER, kafka), (kpi("ship", here / "access.log"), kafka), (WORKER, postgres), (kpi("migrate"), postgres)]
    programs = [Program(argv, here / f"silent-{i}", settings) for i, (argv, settings) in enumerate(asked)]
    ends = [program.wait() for program in programs]
    for done in ends[:2]:
        refused(done, f"KPI_BROKERS={silent}: no broker answers there")
    for done in ends[2:]:
        refused(done, f"Postgres at {silent}/kpi can't be reached: no answer")
    assert all(done.took_s < 2 * END_S for done in ends), ends


def test_a_postgres_that_is_not_there_is_one_line(here: Path, kafka: Kafka) -> None:
    """It names the address, and not the password."""
    settings = {"KPI_BROKERS": kafka.bootstrap, "KPI_DATABASE_URL": NO_DATABASE}
    for done in run_all(NEEDS_POSTGRES, here, settings):
        refused(done, f"Postgres at {NOWHERE}/kpi can't be reached")


def test_a_wrong_password_is_one_line(here: Path, kafka: Kafka, database: str) -> None:
    """It says what to check."""
    url = urlsplit(database)
    if url.password is None:
        pytest.skip("this Postgres asks for no password")
    wrong = url._replace(netloc=f"{url.username}:{SECRET}@{url.hostname}:{url.port}").geturl()
    for done in run_all(NEEDS_POSTGRES[:2], here, {"KPI_BROKERS": kafka.bootstrap, "KPI_DATABASE_URL": wrong}):
        refused(done, "check user and password in KPI_DATABASE_URL")
        assert url.password not in done.out + done.err


def test_a_missing_database_is_one_line(here: Path, kafka: Kafka, database: str) -> None:
    """It says to create it."""
    settings = {"KPI_BROKERS": kafka.bootstrap, "KPI_DATABASE_URL": f"{database}_not"}
    for done in run_all(NEEDS_POSTGRES[1:], here, settings):
        refused(done, "there is no such database: create it")


def test_a_database_that_was_not_migrated_is_one_line(here: Path, kafka: Kafka, database: str) -> None:
    """It names the command that does it."""
    settings = {"KPI_BROKERS": kafka.bootstrap, "KPI_DATABASE_URL": database}
    for done in run_all([WORKER, kpi("reset")], here, settings):
        refused(done, "lacks migrations .*run `kpi migrate`")


def test_a_port_in_use_is_one_line(here: Path) -> None:
    """It says that a second worker needs another one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused(run(WORKER, here, {"KPI_WEB_PORT": str(port)}), f"KPI_WEB_PORT={port}: .*needs another KPI_WEB_PORT")


@pytest.mark.parametrize(
    ("name", "commands"), [("access.log", NEEDS_A_PLACE), ("access.log/data", [kpi("up")]), ("dangling", [kpi("up")])]
)
def test_a_data_directory_that_is_none_is_one_line(name: str, commands: list[tuple[str, ...]], here: Path) -> None:
    """A file, in a file, or a link to nowhere: it names the setting."""
    (here / "dangling").symlink_to("gone")
    for done in run_all(commands, here, {"KPI_DATA_DIR": str(here / name)}):
        refused(done, f"KPI_DATA_DIR={here / name}: .* is no directory")


def test_a_data_directory_that_cannot_be_written_to_is_one_line(here: Path) -> None:
    """It names the setting."""
    (here / "data").mkdir(mode=0o500)
    settings = {"KPI_DATA_DIR": str(here / "data")}
    for done in run_all(NEEDS_A_PLACE, here, settings, prepare=bound_by_permissions()):
        refused(done, f"KPI_DATA_DIR={here}/data: Permission denied")


UNREADABLE = {
    "missing.log": "No such file",
    "dangling.log": "No such file",
    ".": "is a directory: name the files in it",
    "closed.log": "Permission denied",
    "packed.log": "compressed with bzip2: unpack it first",
    "evil\x1b[2J.log": "evil\ufffd\\[2J.log: No such file",
}


def test_a_file_that_cannot_be_read_is_one_line(here: Path) -> None:
    """Its name and the reason, before anything is started; what a name holds does not reach the terminal."""
    (here / "dangling.log").symlink_to("gone")
    (here / "closed.log").touch(mode=0o000)
    (here / "packed.log").write_bytes(b"BZh91AY&SY")
    checks = {kpi("check", here / name): said for name, said in UNREADABLE.items()}
    others = (["ship"], ["demo", "--once", "--log"])
    reading = checks | {kpi(*words, here / "closed.log"): "Permission denied" for words in others}
    ends = run_all(list(reading), here, {"KPI_BROKERS": NOWHERE}, prepare=bound_by_permissions())
    for done, said in zip(ends, reading.values(), strict=True):
        refused(done, said)
        assert "\x1b" not in done.err


def test_damaged_gzip_is_one_line(here: Path) -> None:
    """A file that breaks off is no bug of ours."""
    (here / "access.log.gz").write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03abc")
    refused(run(kpi("check", "access.log.gz"), here), "access.log.gz is damaged")


def test_an_env_file_in_a_place_that_is_not_there_is_one_line(here: Path) -> None:
    """Before any server is started."""
    refused(run(kpi("up", "--env-file", "no/local.env"), here), "can't write no/local.env: No such file")


def test_wrong_usage_says_what_would_be_right(here: Path) -> None:
    """A misspelt option or command exits with 2, as commands do."""
    wrong = (["check"], ["checks"], ["ship", "--rat", "1", "access.log"], ["demo", "--workers", "0"])
    for done in run_all([kpi(*words) for words in wrong], here):
        assert done.code == 2
        assert "Error: " in done.err
        assert "Traceback" not in done.err
