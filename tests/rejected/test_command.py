"""`kpi rejected` as it is used: in a terminal, in a pipe, and where something is missing."""

import asyncio
import json
import re
import signal
import subprocess
import unicodedata
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from rich.cells import cell_len

from tests.cli.programs import END_S, kpi, run, running, until
from tests.rejected.stage import CAME_MS, Stage, line, settings, victim
from tests.rejected.test_render import HOSTILE

REPLAY = kpi("rejected", "--replay")


@pytest.mark.parametrize("terminal", [True, False])
async def test_what_strangers_wrote_does_not_reach_the_terminal(stage: Stage, terminal: bool, tmp_path: Path) -> None:
    """80 columns, a bar in a terminal only, and nothing else that moves the cursor."""
    await stage.send([text.encode("utf-8", "surrogatepass") for text in HOSTILE[:6]])
    await stage.send([line(1)], timestamp_ms=CAME_MS - 3_600_000)
    await stage.work()
    done = await asyncio.to_thread(run, kpi("rejected"), tmp_path, settings(stage), terminal=terminal)
    assert done.code == 0, done.err
    assert ("reading" in done.out + done.err) == terminal
    assert ("\x1b[2K" in done.out + done.err) == terminal
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.out)[done.out.find("reason") * (not terminal) :]
    rows = said[said.index("reason") :].replace("\r", "").splitlines()
    assert [row.split()[:2] for row in rows[1:3]] == [["format", "6"], ["future", "1"]]
    for row in rows:
        assert cell_len(row) <= 80
        assert not {unicodedata.category(each) for each in row} & {"Cc", "Cf", "Zl", "Zp"}


async def test_a_replay_says_what_it_sent_and_what_it_left(stage: Stage, tmp_path: Path) -> None:
    """By reason; first what it would do, then what it did, then that nothing is left to do."""
    await stage.send([line(1), line(2), b"junk"])
    await stage.work("combined")
    here = settings(stage)

    async def said(*options: str, **more: str) -> list[str]:
        done = await asyncio.to_thread(run, (*REPLAY, *options), tmp_path, here | more)
        assert done.code == 0, done.err
        return done.out.splitlines()

    assert json.loads("".join(await said("--dry-run", "--format", "json"))) == [
        {"reason": "format", "sent": 2, "rejected_still": 1, "gone": 0, "other": 0}
    ]
    assert (await said(KPI_LOG_FORMAT="json"))[1].split() == ["format", "0", "3", "0", "0"]
    assert (await said("--dry-run"))[0].split()[1:4] == ["would", "be", "sent"]
    assert (await said())[1].split() == ["format", "2", "1", "0", "0"]
    assert (await said())[1].split() == ["format", "0", "1", "0", "0"]
    assert await said("--reason", "time") == ["nothing to replay: no rejected line waits for it"]
    listed = await asyncio.to_thread(run, kpi("rejected", "--format", "json"), tmp_path, here)
    [told] = json.loads(listed.out)
    assert (told["lines"], told["replayed"], [each["line"] for each in told["examples"]]) == (3, 2, ["junk"])


async def test_a_replay_shows_how_far_it_is_in_a_terminal(stage: Stage, tmp_path: Path) -> None:
    """A bar that is gone in the end."""
    await stage.send([line(1)])
    await stage.work("combined")
    done = await asyncio.to_thread(run, REPLAY, tmp_path, settings(stage), terminal=True)
    assert done.code == 0, done.out
    assert "replaying" in done.out
    assert "\x1b[2K" in done.out


async def test_an_empty_topic_is_well(stage: Stage, tmp_path: Path) -> None:
    """There is nothing to list, nothing to send."""
    for options, said in (((), "no rejected lines\n"), (("--replay",), "nothing to replay")):
        done = await asyncio.to_thread(run, kpi("rejected", *options), tmp_path, settings(stage))
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(said)


async def test_a_missing_topic_is_told_and_not_made(stage: Stage, tmp_path: Path) -> None:
    """In one line; a wrong KPI_TOPIC must leave nothing behind."""
    wrong = settings(stage) | {"KPI_TOPIC": "nobodys"}
    for command in (kpi("rejected"), REPLAY, (*REPLAY, "--dry-run")):
        done = await asyncio.to_thread(run, command, tmp_path, wrong)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
        assert re.match("topic nobodys(-rejected)?: there is none", done.err)
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.settings.brokers)
    await admin.start()
    try:
        assert not [name for name in await admin.list_topics() if name.startswith("nobodys")]
    finally:
        await admin.close()


@pytest.mark.parametrize("command", [kpi("rejected"), REPLAY], ids=["list", "replay"])
def test_a_broker_that_is_away_is_told_in_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    """Soon, and without a traceback."""
    done = run(command, tmp_path, {"KPI_BROKERS": "127.0.0.1:1"})
    assert (done.code, done.out) == (1, "")
    assert done.err == "KPI_BROKERS=127.0.0.1:1: no broker answers there\n"
    assert done.took_s < END_S


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--dry-run",), 1, "--dry-run goes with --replay\n"),
        (("--reason", "\x1b[2J"), 2, "'--reason'"),
        (("--format", "csv"), 2, "'--format'"),
        (("file.log",), 2, "unexpected extra argument"),
    ],
)
def test_a_wrong_option_is_told(options: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    """Before anything is connected to."""
    done = run(kpi("rejected", *options), tmp_path, {"KPI_BROKERS": "127.0.0.1:1"})
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert "\x1b" not in done.err


async def test_records_of_others_are_left_alone(stage: Stage, tmp_path: Path) -> None:
    """Who may write to the topic may write anything."""
    await stage.send([line(1)])
    await stage.work("combined")
    await stage.write_letters([b"\xff", b'{"reason":"format"}', None])
    for options in ((), ("--replay",)):
        done = await asyncio.to_thread(run, kpi("rejected", *options), tmp_path, settings(stage))
        assert done.code == 0, done.err
        assert "3 records among the dead letters were not written by this version" in done.err
    assert len(await stage.copies()) == 1


async def test_of_two_at_once_the_earlier_one_says_so_in_one_line(stage: Stage, tmp_path: Path) -> None:
    """And ends; what aiokafka leaves behind of its transaction is nobody's to read."""
    await stage.send([line(number) for number in range(9)])
    await stage.work("combined")
    with running(victim("_send_copies", "before", "SIGSTOP", 2), tmp_path, settings(stage)) as earlier:
        await asyncio.to_thread(until, lambda: is_frozen(earlier.pid))
        later = await asyncio.to_thread(run, REPLAY, tmp_path, settings(stage))
        earlier.tell(signal.SIGCONT)
        done = await asyncio.to_thread(earlier.wait)
    assert (later.code, later.out.splitlines()[1].split()[1]) == (0, "6"), later.err
    assert (done.code, done.out.splitlines()[1].split()[1]) == (1, "3"), done.err
    assert done.err == (
        "another `kpi rejected --replay` has begun, or Kafka ended this one's transaction: say the same again\n"
    )
    assert len(await stage.copies()) == 9


def is_frozen(pid: int) -> bool:
    """Whether the process is stopped by a signal."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip().startswith("T")


async def test_ctrl_c_ends_it_between_two_transactions(stage: Stage, tmp_path: Path) -> None:
    """What was sent is told, and the next run sends the rest."""
    await stage.send([line(number) for number in range(9)])
    await stage.work("combined")
    told = victim("_send_receipts", "before", "SIGINT", 2)
    done = await asyncio.to_thread(run, told, tmp_path, settings(stage))
    assert (done.code, done.out.splitlines()[1].split()[1], done.err) == (130, "6", "")
    rest = await asyncio.to_thread(run, REPLAY, tmp_path, settings(stage))
    assert (rest.code, rest.out.splitlines()[1].split()[1]) == (0, "3"), rest.err
    assert len(await stage.copies()) == 9
