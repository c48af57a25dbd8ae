"""Generated traffic: the same for the same seed, and with what the constants promise in it."""

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate, pairwise

import polars as pl
import pytest

from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.base import Reading
from kpi_app.sources import traffic as subject
from kpi_app.sources.traffic import Live, traffic
from kpi_app.sources.visitors import BOTS

MONDAY = datetime(2023, 5, 22, tzinfo=UTC)
LINE = re.compile(
    r"(?P<address>[0-9a-f.:]+) - - \[(?P<time>[^\]]+)\] "
    r'"(?P<request>[^"]*)" (?P<status>\d{3}) (?P<size>\d+) "[^"]*" "(?P<agent>[^"]*)" "(?P<forwarded>[^"]*)"'
)


def read(lines: list[str]) -> list[re.Match[str]]:
    """The lines that can be read, that is those with a time that exists."""
    matches = (LINE.fullmatch(line) for line in lines)
    return [match for match in matches if match and "Foo" not in match["time"]]


def time_of(match: re.Match[str]) -> datetime:
    """The line's time."""
    return parsed(match["time"])


@cache
def parsed(time: str) -> datetime:
    """Most times are on several lines, and strptime is slow."""
    return datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z")


@pytest.fixture(scope="module")
def day() -> list[str]:
    """A Monday."""
    return list(traffic(100_000, MONDAY, days=1, seed=1))


def share(lines: list[re.Match[str]], of: str, group: str = "status") -> float:
    """The part of the lines that have `of` in a group."""
    return sum(re.search(of, line[group]) is not None for line in lines) / len(lines)


def test_same_seed_gives_the_same_lines() -> None:
    """Two runs with the same arguments differ in nothing; another seed gives other lines."""
    first = list(traffic(2_000, MONDAY, days=3, seed=7))
    assert first == list(traffic(2_000, MONDAY, days=3, seed=7))
    assert first != list(traffic(2_000, MONDAY, days=3, seed=8))


@pytest.mark.parametrize(("lines", "days"), [(0, 1), (1, 1), (999, 0.0001), (5_000, 0.01), (3_000, 45)])
def test_as_many_lines_as_asked_for(lines: int, days: float) -> None:
    """The number of lines is exact, over a few seconds and over weeks."""
    assert sum(1 for _ in traffic(lines, MONDAY, days, seed=2)) == lines


def test_naive_start_raises() -> None:
    """A start without a time zone is an error, not a guess."""
    with pytest.raises(ValueError, match="time zone"):
        next(traffic(1, datetime(2023, 5, 22), 1, seed=1))  # noqa: DTZ001 - the point of the test
    with pytest.raises(ValueError, match="time zone"):
        Live(1, datetime(2023, 5, 22), seed=1)  # noqa: DTZ001


@pytest.mark.parametrize("days", [0, -1, float("inf"), float("nan")])
def test_no_time_to_spread_over_raises(days: float) -> None:
    """Lines need a time above zero that ends."""
    with pytest.raises(ValueError, match="days"):
        next(traffic(1, MONDAY, days, seed=1))


def test_times_stay_within_the_span(day: list[str]) -> None:
    """No line is before the start, none is after the end."""
    times = [time_of(line) for line in read(day)]
    assert min(times) >= MONDAY
    assert max(times) < MONDAY + timedelta(days=1)


def test_lines_are_nearly_in_order(day: list[str]) -> None:
    """A line is at most DISORDER_S behind the latest before it, but for the few late ones, which are far behind."""
    times = [time_of(line).timestamp() for line in read(day)]
    behind = [max(0, latest - now) for latest, now in zip(accumulate(times, max), times, strict=True)]
    late = [seconds for seconds in behind if seconds > subject.DISORDER_S]
    assert any(0 < seconds <= subject.DISORDER_S for seconds in behind)
    assert len(late) == pytest.approx(subject.LATE_SHARE * len(day), rel=0.1)
    assert all(subject.LATE_S[0] <= seconds <= subject.LATE_S[1] + subject.DISORDER_S for seconds in late)


def test_shares_are_as_documented(day: list[str]) -> None:
    """Unreadable lines, probes and bots are as many as the constants say."""
    readable = read(day)
    assert len(day) - len(readable) == pytest.approx(subject.UNREADABLE_SHARE * len(day), rel=0.1)
    probes = [line for line in readable if not re.match("[A-Z]+ ", line["request"])]
    assert len(probes) == pytest.approx(subject.PROBE_SHARE * len(day), rel=0.1)
    bots = sum(line["agent"] in BOTS for line in readable) / len(readable)
    assert bots == pytest.approx(subject.BOT_SHARE, rel=0.1)
    assert {line["agent"] for line in readable} >= set(BOTS)


def test_the_feed_reads_what_is_meant_to_be_read(day: list[str]) -> None:
    """The parser rejects the unreadable lines, and nothing else."""
    frame = pl.DataFrame({"line": day, "reason": pl.Series([None] * len(day), dtype=pl.String)})
    reasons = ACCESS.parse(frame, Reading())["reason"].to_list()
    assert [reason is None for reason in reasons] == [bool(read([line])) for line in day]
    assert {reason for reason in reasons if reason} == {"format", "time"}


def test_errors_come_in_bursts(day: list[str]) -> None:
    """Few requests fail on the whole; in some minute many do for want of a page, in another for want of a server."""
    readable = read(day)
    assert 0.03 < share(readable, "^4") < 0.08
    assert 0.002 < share(readable, "^5") < 0.02
    minutes: dict[str, list[re.Match[str]]] = {}
    for line in readable:
        minutes.setdefault(line["time"][:17], []).append(line)
    assert max(share(lines, "^404") for lines in minutes.values() if len(lines) > 20) > 0.4
    assert max(share(lines, "^5") for lines in minutes.values() if len(lines) > 20) > 0.25


def test_real_variety(day: list[str]) -> None:
    """Several methods, protocols, redirects, paths of which few are asked for often, addresses behind proxies."""
    readable = read(day)
    requests = [match["request"].split(" ") for match in readable if match["request"].count(" ") == 2]
    assert {"GET", "POST", "HEAD", "OPTIONS"} <= {method for method, _, _ in requests}
    assert {protocol for _, _, protocol in requests} == {"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"}
    assert 0.01 < share(readable, "^30[128]") < 0.05
    paths = [target for _, target, _ in requests]
    assert len(set(paths)) > 1_000
    assert paths.count("/") > len(paths) / 20
    assert 0.2 < share(readable, "^-$", "forwarded") < 0.6
    assert share(readable, ", ", "forwarded") > 0.01


def test_nights_are_quieter_than_days(day: list[str]) -> None:
    """Between 3 and 5 there is less than a third of what comes between 15 and 17."""
    hours = [time_of(line).hour for line in read(day)]
    assert sum(hour in (3, 4) for hour in hours) * 3 < sum(hour in (15, 16) for hour in hours)


def test_visitors_change_from_day_to_day() -> None:
    """Some people of the first day come back on the second, others don't."""
    lines = read(list(traffic(20_000, MONDAY, days=2, seed=4)))
    first, second = ({line["address"] for line in lines if line["time"].startswith(day)} for day in ("22", "23"))
    assert first & second
    assert first - second
    assert second - first


def test_live_lines_come_at_their_rate() -> None:
    """However often it is asked, a minute brings the rate times sixty, and no line from the future."""
    live = Live(rate=33.3, start=MONDAY, seed=5)
    total = 0
    for before, now in pairwise(MONDAY + timedelta(seconds=0.75 * i) for i in range(81)):
        lines = live.until(now)
        total += len(lines)
        assert all(time_of(line) <= now for line in read(lines))
        assert len(lines) <= 33.3 * (now - before).total_seconds() + 1
    assert total == pytest.approx(33.3 * 60, abs=1)


def test_live_goes_on_after_a_pause_with_the_last_minute() -> None:
    """A machine that slept for a week doesn't write a week's lines, and the clock set back brings none."""
    live = Live(rate=10, start=MONDAY, seed=5)
    assert len(live.until(MONDAY + timedelta(days=7))) == 600
    assert live.until(MONDAY) == []
    assert len(live.until(MONDAY + timedelta(days=7, seconds=1))) == 10
