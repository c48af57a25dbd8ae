"""The commands of README.md and docs/getting-started.md are run, in their order, and print what the pages show.

Each is run as it stands, by a shell, but for those with a `Way` of their own, which says what is done instead, and why.
README.es.md has the same commands (see test_pages.py).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import asyncpg
import pytest

from kpi_app.local.ports import free_port
from kpi_app.sources.traffic import traffic
from tests.cli.programs import PATIENCE_S
from tests.conftest import Kafka, Postgres, connected, own_database
from tests.docs.pages import README, STARTED, Block, Command, blocks, commands
from tests.docs.terminal import Terminal, what_make_runs

LINES = 1_000
LOG = "/var/log/nginx/access.log"
BROKERS, DATABASE = "kafka.example:9092", "postgresql://kpi:…@db.example/kpi"


class Reader:
    """Who follows a page: the terminal, and what waits until there is something to look at."""

    def __init__(self, terminal: Terminal, demo_url: str) -> None:
        self.terminal = terminal
        self.demo_url = demo_url
        self.has_sent = False
        self.later: list[Command | Block] = []

    async def follow(self, page: Path) -> None:
        """Run all commands and queries of a page."""
        for block in blocks(page):
            if block.language == "console":
                for command in commands(block):
                    await self.do(command)
            elif block.language == "sql":
                await self.do(block)
        assert self.has_sent
        for waiting in self.later:
            await self.do(waiting)

    async def do(self, what: Command | Block) -> None:
        """Run a command by the way that it has; a query on what was counted."""
        if isinstance(what, Block):
            await self._ask(what)
            return
        [way] = [way for way in WAYS if re.fullmatch(way.command, what.line)]
        said = await way.run(self, what.line)
        if said is LATER:
            self.later.append(what)
        elif said is not None:
            shows(what, said)

    async def _ask(self, sql: Block) -> None:
        if not self.has_sent:
            self.later.append(sql)
            return
        async with connected(self.terminal.value("KPI_DATABASE_URL")) as connection:
            for query in filter(str.strip, sql.text.split(";\n")):
                found = await connection.fetch(query)
                assert bool(found) != ("conservation" in query), query

    async def counted(self) -> None:
        """Return when all that was sent is in rows of every size."""
        self.has_sent = True
        url = self.terminal.value("KPI_DATABASE_URL")
        async with asyncio.timeout(PATIENCE_S), connected(url) as connection:
            while not await _is_settled(connection):  # noqa: ASYNC110  Postgres has to be asked
                await asyncio.sleep(0.1)


async def _is_settled(connection: asyncpg.Connection) -> bool:
    lines = await connection.fetchval("SELECT sum(lines) FROM ingest_ledger")
    missing = await connection.fetchval("SELECT count(*) FROM conservation WHERE difference <> 0")
    still_open = await connection.fetchval("SELECT count(*) FROM access_kpi WHERE NOT closed")
    return bool(lines == LINES + 1 and not missing and not still_open)


LATER = "later"


class Way(NamedTuple):
    """How commands are run: `run` returns what they print, None where they are not run, or `LATER`."""

    command: str
    run: Callable[[Reader, str], Awaitable[str | None]]


async def as_it_stands(reader: Reader, line: str) -> str:
    return reader.terminal.run(line)


async def nothing(_: Reader, __: str) -> None:
    """Has no sense here."""


async def known_to_make(_: Reader, line: str) -> None:
    """Only that make knows the target: it would install packages, or run for minutes."""
    what_make_runs(line.partition(" && ")[0])


async def by_make(reader: Reader, line: str) -> str:
    """What make would run, on servers of this run in place of embedded ones: tests/cli/test_demo.py has these."""
    given = f"KPI_BROKERS={BROKERS} KPI_DATABASE_URL='{reader.demo_url}'"
    return reader.terminal.run(f"{given} {what_make_runs(line)}")


async def worker(reader: Reader, line: str) -> str:
    return reader.terminal.start(line, "Worker ready")


async def servers(reader: Reader, line: str) -> str:
    return reader.terminal.start(line, "Ctrl-C ends both")


async def follow(reader: Reader, line: str) -> str:
    said = reader.terminal.start(line, "")
    await reader.counted()
    return said


async def ship(reader: Reader, line: str) -> str:
    said = reader.terminal.run(line)
    await reader.counted()
    return said


async def look(reader: Reader, line: str) -> str:
    """README.md shows what there is to see before it says how it comes."""
    return reader.terminal.run(line) if reader.has_sent else LATER


async def reset(reader: Reader, line: str) -> str:
    """The page says to end the worker first."""
    reader.terminal.end()
    return reader.terminal.run(line)


LOG_FILE = re.escape(LOG)
WAYS = (
    Way(r"git clone \S+ && cd kpi_app", nothing),  # this is a clone
    Way(r"\. \.venv/bin/activate", nothing),  # `Terminal` has done so
    Way(r"make setup( && \. \.venv/bin/activate)?", known_to_make),
    Way(r"make demo", known_to_make),
    Way(r"make demo ARGS=.*--once\"", by_make),
    Way(rf"kpi check {LOG_FILE}", as_it_stands),
    Way(r"export \w+=.*", as_it_stands),
    Way(r"kpi up --env-file \S+", servers),
    Way(r"\. \./local\.env", as_it_stands),
    Way(r"kpi migrate", as_it_stands),
    Way(r"faust -A kpi_app worker -l info", worker),
    Way(rf"kpi ship {LOG_FILE} --follow", follow),
    Way(rf"kpi ship {LOG_FILE}", ship),
    Way(r"kpi report .*", look),
    Way(r"psql .*", look),
    Way(r"kpi reset --yes", reset),
)


def shows(command: Command, said: str) -> None:
    """The first and the last line that the page shows are printed, whatever their figures."""
    lines = {blurred(line) for line in said.splitlines()}
    shown = [line for line in command.output if "…" not in line]
    for line in (shown[:1] + shown[-1:]) if shown else []:
        assert blurred(line) in lines, (command.line, line, said)


def blurred(line: str) -> str:
    """A line without figures, bars and widths."""
    return " ".join(re.sub(r"\d[\d.,:-]*", "#", re.sub(r"[▏▎▍▌▋▊▉█]", "", line)).split())


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Some days of 2015 in the format `combined`, and a line that can't be read."""
    path = tmp_path / "access.log"
    lines = traffic(LINES, datetime(2015, 5, 17, 10, 5, tzinfo=UTC), 3.5, 1)
    combined = [re.sub(r' "[^"]*"$', "", line) for line in lines]  # made-up lines have an X-Forwarded-For
    path.write_text("".join(f"{line}\n" for line in [*combined, "what?"]))
    return str(path)


@pytest.fixture
def settings() -> dict[str, str]:
    """A port of this test's own, and no half minute for a partition that sees nothing."""
    return {"KPI_WEB_PORT": str(free_port()), "KPI_IDLE_AFTER": "1s"}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What was started is ended with the test."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture
async def demo_url(postgres: Postgres) -> AsyncIterator[str]:
    """Another database: rows of two topics don't go into one."""
    async with own_database(postgres.dsn, f"demo_{uuid4().hex[:12]}") as dsn:
        yield dsn


async def test_the_readme(
    kafka: Kafka, database: str, demo_url: str, log: str, settings: dict[str, str], stack: ExitStack, tmp_path: Path
) -> None:
    """On a Kafka and a Postgres that are there, as its last part has it."""
    stands_for = {LOG: log, BROKERS: kafka.bootstrap, DATABASE: database}
    own = {"KPI_TOPIC": f"page-{uuid4().hex[:12]}"}  # the broker is every test's
    await Reader(Terminal(stack, tmp_path, stands_for, **settings, **own), demo_url).follow(README)


async def test_getting_started(log: str, settings: dict[str, str], stack: ExitStack, tmp_path: Path) -> None:
    """On those that it starts itself."""
    await Reader(Terminal(stack, tmp_path, {LOG: log}, **settings), "").follow(STARTED)


def test_a_command_without_a_way_is_told() -> None:
    """And each way has its command."""
    found = [block for page in (README, STARTED) for block in blocks(page) if block.language == "console"]
    lines = [command.line for block in found for command in commands(block)]
    assert len(lines) > 20
    assert [line for line in lines if sum(bool(re.fullmatch(way.command, line)) for way in WAYS) != 1] == []
    assert [way.command for way in WAYS if not any(re.fullmatch(way.command, line) for line in lines)] == []
