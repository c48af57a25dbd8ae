r"""Traffic: made-up but realistic access logs of nginx, the same for the same seed.

Combined format and X-Forwarded-For. Days and nights, peaks, scans and outages; people, bots and AI crawlers;
and what a real log has for a parser to stumble over, in the shares below:

    83.45.66.225 - - [23/May/2023:14:21:08 +0000] "GET / HTTP/2.0" 200 9258 "-" "Mozilla/5.0 …" "-"
    45.83.12.9 - - [23/May/2023:14:21:09 +0000] "\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03" 400 157 "-" "-" "-"
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from random import Random

from kpi_app.sources.exchanges import Mood, exchanges
from kpi_app.sources.visitors import Pool, Visitor, bots, mixed, people, scanners

#: Of the requests in normal minutes, those of bots and crawlers.
BOT_SHARE = 0.18
#: Of all lines: a request that is none (TLS on a plain port, or nothing), which still counts.
PROBE_SHARE = 0.001
#: Of all lines: those that can't be read.
UNREADABLE_SHARE = 0.0005
#: Of all lines: those that come `LATE_S` after their time, seconds.
LATE_SHARE = 0.0005
LATE_S = (90, 900)
#: Other lines come at most so many seconds after a line with a later time.
DISORDER_S = 3

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DELAYS_S = (0,) * 24 + (1,) * 5 + (2,) * 2 + (DISORDER_S,)
_MINUTE_S = 60
_DAY_S = 86_400
_PROBES = (
    r"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\xD1\x9F",
    r"\x03\x00\x00/*\xE0\x00\x00\x00\x00\x00Cookie: mstshash=Administr",
    "",
)
_NO_LINES = (
    "2023/05/23 14:21:08 [error] 29#29: *1 connect() failed (111: Connection refused) while connecting to upstream",
    '{"level":"info","msg":"listening on :8080"}',
    '203.0.113.9 - - [23/May/2023:14:21:08 +0000] "GET /cut/off HT',
    '203.0.113.9 - - [99/Foo/2023:14:21:08 +0000] "GET / HTTP/1.1" 200 1 "-" "-" "-"',
    "\ufffd\ufffd\ufffd\ufffd",
)


def traffic(lines: int, start: datetime, days: float, seed: int) -> Iterator[str]:
    """Yield `lines` lines, without newlines, whose times spread over `days` from `start` on.

    The same arguments give the same lines. Raises `ValueError` for a naive `start`, or where `days` is not above 0.
    """
    return chain.from_iterable(traffic_by_minute(lines, start, days, seed))


def traffic_by_minute(lines: int, start: datetime, days: float, seed: int) -> Iterator[list[str]]:
    """The same, the lines of a minute at a time: faster where they are joined anyway."""
    start_s, length_s = _epoch(start), days * _DAY_S
    if not 0 < length_s < math.inf:
        raise ValueError(f"traffic needs a time to spread over, not {days} days")
    random = _random(seed)
    plan = _plan(random, start_s, length_s)
    total = sum(weight for weight, _ in plan)
    writer = _Writer(random, visitors_a_day=int(lines / max(days, 1.0) / 12), first_s=int(start_s))
    weight_so_far, written = 0.0, 0
    for minute, (weight, mood) in enumerate(plan):
        weight_so_far += weight
        count = round(lines * min(1.0, weight_so_far / total)) - written
        written += count
        begin_s = start_s + minute * _MINUTE_S
        if count:
            yield writer.write(count, begin_s, min(begin_s + _MINUTE_S, start_s + length_s), mood)


class Live:
    """Endless traffic at the present time: `until(now)` gives the lines since the call before, `rate` a second.

    After a pause of over a minute it goes on with the last minute. A naive time raises `ValueError`.
    """

    def __init__(self, rate: float, start: datetime, seed: int) -> None:
        self._rate = rate
        self._last_s = _epoch(start)
        self._owed = 0.0
        self._writer = _Writer(_random(seed), visitors_a_day=int(rate * _DAY_S / 12), first_s=int(self._last_s))

    def until(self, now: datetime) -> list[str]:
        """The lines of the time since, without newlines; their times are before `now`."""
        now_s = _epoch(now)
        begin_s = max(self._last_s, now_s - _MINUTE_S)
        self._last_s = max(self._last_s, now_s)
        self._owed += max(0.0, now_s - begin_s) * self._rate
        count = int(self._owed)
        self._owed -= count
        return self._writer.write(count, begin_s, now_s, _mood_of(int(now_s) // _MINUTE_S)) if count else []


def _mood_of(minute: int) -> Mood:
    """A scan every 23 minutes and an outage every 41, a minute long each."""
    if minute % 41 == 7:
        return "outage"
    return "scan" if minute % 23 == 4 else "normal"


class _Writer:
    """Writes lines; its visitors change from day to day, some come back."""

    def __init__(self, random: Random, visitors_a_day: int, first_s: int) -> None:
        self._random = random
        self._first_s = first_s
        self._people = people(random, min(max(visitors_a_day, 200), 20_000))
        self._bots, self._scanners = bots(random), scanners(random)
        site = random.getrandbits(32)  # the same site in each mood
        moods: tuple[Mood, ...] = ("normal", "scan", "outage")
        self._exchanges = {mood: exchanges(_random(site), mood) for mood in moods}
        self._day = first_s // _DAY_S
        self._visitors = self._mix()
        self._owed = {"probe": 0.0, "no line": 0.0, "late": 0.0}

    def _mix(self) -> dict[Mood, Pool[Visitor]]:
        usual = (1 - BOT_SHARE, self._people), (BOT_SHARE, self._bots)
        pool = mixed(*usual)
        return {"normal": pool, "outage": pool, "scan": mixed(*usual, (2.0, self._scanners))}

    def write(self, count: int, begin_s: float, end_s: float, mood: Mood) -> list[str]:
        """`count` lines that come between two times, epoch seconds."""
        self._change_visitors(int(begin_s) // _DAY_S)
        times_s = self._times(count, begin_s, end_s)
        stamps = {at: _stamp(at) for at in set(times_s)}
        who = self._visitors[mood].draw(self._random, count)
        what = self._exchanges[mood].draw(self._random, count)
        lines = [
            f"{address} - - [{stamps[at]}{exchange}{tail}"
            for at, (address, tail), exchange in zip(times_s, who, what, strict=True)
        ]
        for i in self._some("probe", PROBE_SHARE, count):
            lines[i] = _probe(self._random, who[i].address, stamps[times_s[i]])
        for i in self._some("no line", UNREADABLE_SHARE, count):
            lines[i] = self._random.choice(_NO_LINES)
        return lines

    def _times(self, count: int, begin_s: float, end_s: float) -> list[int]:
        """The times that the lines give, in the order in which they come."""
        random, first_s = self._random, self._first_s
        came_s = sorted([int(begin_s + (end_s - begin_s) * random.random()) for _ in range(count)])
        delays_s = random.choices(_DELAYS_S, k=count)
        for i in self._some("late", LATE_SHARE, count):
            delays_s[i] = random.randint(*LATE_S)
        return [max(first_s, at - delay) for at, delay in zip(came_s, delays_s, strict=True)]

    def _some(self, kind: str, share: float, count: int) -> list[int]:
        """Places of the lines, among `count`, that are of a rare kind; the share holds over all calls."""
        self._owed[kind] += share * count
        due = min(int(self._owed[kind]), count)
        self._owed[kind] -= due
        return self._random.sample(range(count), due)

    def _change_visitors(self, day: int) -> None:
        if day == self._day:
            return
        self._day = day
        half = len(self._people) // 2
        self._people = [*self._random.sample(self._people, half), *people(self._random, len(self._people) - half)]
        self._visitors = self._mix()


def _probe(random: Random, address: str, stamp: str) -> str:
    return f'{address} - - [{stamp}] "{random.choice(_PROBES)}" 400 157 "-" "-" "-"'


def _plan(random: Random, start_s: float, length_s: float) -> list[tuple[float, Mood]]:
    """The load and the mood of each minute."""
    minutes = math.ceil(length_s / _MINUTE_S)
    load = [_load(start_s + minute * _MINUTE_S) for minute in range(minutes)]
    load[-1] *= (length_s - (minutes - 1) * _MINUTE_S) / _MINUTE_S
    moods: list[Mood] = ["normal"] * minutes
    a_day = max(1.0, length_s / _DAY_S)
    for minute in _bursts(random, minutes, count=round(4 * a_day), longest=20):
        load[minute] *= 3
    for minute in _bursts(random, minutes, count=round(2 * a_day), longest=4):
        moods[minute] = "scan"
        load[minute] *= 1.5
    for minute in _bursts(random, minutes, count=round(a_day), longest=6):
        moods[minute] = "outage"
    return list(zip(load, moods, strict=True))


def _bursts(random: Random, minutes: int, count: int, longest: int) -> Iterator[int]:
    """Minutes in bursts of up to `longest`, of which a short log has no more than a twentieth."""
    longest = max(1, min(longest, minutes // 20))
    for _ in range(count if minutes >= 20 else 0):
        begin = random.randrange(minutes)
        yield from range(begin, min(minutes, begin + random.randint(1, longest)))


def _load(at_s: float) -> float:
    """Of a day's minutes: least at 04:00 UTC, most at 16:00, less on Saturdays and Sundays."""
    hour = at_s % _DAY_S / 3_600
    weekend = (int(at_s) // _DAY_S + 3) % 7 >= 5  # 1 January 1970 was a Thursday
    return (1.0 - 0.75 * math.cos((hour - 4) / 24 * 2 * math.pi)) * (0.7 if weekend else 1.0)


def _stamp(at_s: int) -> str:
    day, second = divmod(at_s, _DAY_S)
    return f"{_date(day)}:{second // 3_600:02}:{second // 60 % 60:02}:{second % 60:02} +0000"


@lru_cache(maxsize=8)
def _date(day: int) -> str:
    date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return f"{date.day:02}/{_MONTHS[date.month - 1]}/{date.year}"


def _random(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - made-up lines are no secret, and the same seed has to give the same


def _epoch(time: datetime) -> float:
    if time.tzinfo is None:
        raise ValueError("a time needs its time zone")
    return time.timestamp()
