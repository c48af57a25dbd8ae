"""An independent recount of access lines: slow, plain, one line at a time, and nothing of kpi_app in it.

Whatever the product says about a log is held against this. It reads a line with `re`, `strptime` and
string operations, and keeps dicts; no column, no batch, no segment.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_VALUE = 262_144

TEXT = r'"(?:[^"\\\n]|\\[^\n])*"'
LINE = re.compile(
    r"[^ \n]+ [^ \n]+ [^ \n]+ \[([^\]]*)\] " + TEXT + r" ([0-9]{3}) ([0-9]{1,13}|-)"
    r"( " + TEXT + " " + TEXT + r"( " + TEXT + r")?)?"
    r"(?: [A-Za-z_][A-Za-z0-9_.-]*=(?:" + TEXT + r'|[^" \r\n]*))*\r?\n?'
)
TIME = re.compile(r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-5][0-9] [-+][0-9]{4}")
AFTER_REQUEST = re.compile(r"[ \t]+([0-9]{3}|-)[ \t]+([0-9]{1,13}|-)(?![0-9])")
NAMED = re.compile(
    r"(?:[ \t]+[A-Za-z_][A-Za-z0-9_.-]*="
    r'(?:"[^"\n]*"|[^" \t\r\n]*(?:(?:,|[ \t]+:)[ \t]+[^"= \t\r\n]+)*)(?=[ \t]|$))*'
)
SPACES = " \t"


@dataclass
class Window:
    """What counts in one window."""

    requests: int = 0
    bytes_sent: int = 0
    late: int = 0
    #: By column name, `status_1xx` to `status_5xx` and `status_other`; absent for none.
    status: Counter[str] = field(default_factory=Counter)
    #: Requests by whole second since the epoch.
    per_second: Counter[int] = field(default_factory=Counter)
    first_event: datetime | None = None
    last_event: datetime | None = None

    @property
    def peak_per_second(self) -> int:
        """The most requests in any one second."""
        return max(self.per_second.values(), default=0)


@dataclass
class Recount:
    """What became of all lines."""

    lines: int = 0
    late_dropped: int = 0
    #: Numbers, from 0, of the lines that came before.
    again: set[int] = field(default_factory=set)
    rejected: Counter[str] = field(default_factory=Counter)
    #: The reason of each rejected line, by its number from 0.
    reasons: dict[int, str] = field(default_factory=dict)
    #: The format of each line that could be told apart, by its number from 0.
    formats: dict[int, str] = field(default_factory=dict)
    #: By window start, seconds since the epoch.
    windows: dict[int, Window] = field(default_factory=dict)
    #: The greatest event time of the accepted lines; None before the first.
    watermark: datetime | None = None

    @property
    def counted(self) -> int:
        """Lines that count in some window."""
        return sum(window.requests for window in self.windows.values())


class Rejected(Exception):
    """A line that can't be counted; the argument is the reason."""


def recount(
    lines: Iterable[str | bytes | None],
    window_s: int = 60,
    grace_s: int = 60,
    correct_for_s: int | None = None,
    log_format: str = "auto",
    record_ms: Iterable[int | None] | None = None,
    future_limit_s: int = 60,
) -> Recount:
    """Count the lines of one partition, in their order.

    `lines`: bare lines, or Kafka values as bytes (a line or Fluent Bit's JSON around it). `record_ms` are
    the records' own times, milliseconds since the epoch, as many as there are lines; None: not known.
    """
    result, counted = Recount(), defaultdict[str, set[object]](set)
    times = record_ms if record_ms is not None else iter(lambda: None, 0)
    for number, (line, written_ms) in enumerate(zip(lines, times, strict=False)):
        result.lines += 1
        file, first_byte = place_of(line)
        if file is not None and first_byte in counted[file]:
            result.again.add(number)
            continue
        try:
            event, status, size, result.formats[number] = read(line, log_format)
            written = None if written_ms is None else EPOCH + timedelta(milliseconds=written_ms)
            if written is not None and event > written + timedelta(seconds=future_limit_s):
                raise Rejected("future")
        except Rejected as rejected:
            result.reasons[number] = str(rejected)
            result.rejected[str(rejected)] += 1
            continue
        if file is not None:
            counted[file].add(first_byte)
        _count(result, event, status, size, window_s, grace_s, correct_for_s)
    return result


def _count(
    result: Recount, event: datetime, status: str, size: int, window_s: int, grace_s: int, correct_for_s: int | None
) -> None:
    second = (event - EPOCH) // timedelta(seconds=1)
    start = second // window_s * window_s
    closes = EPOCH + timedelta(seconds=start + window_s + grace_s)
    watermark = result.watermark
    late = watermark is not None and closes <= watermark
    result.watermark = max(watermark or event, event)
    if watermark and correct_for_s is not None and closes + timedelta(seconds=correct_for_s) <= watermark:
        result.late_dropped += 1
        return
    window = result.windows.setdefault(start, Window())
    window.requests += 1
    window.bytes_sent += size
    window.late += late
    window.status[f"status_{status[0]}xx" if status[0] in "12345" else "status_other"] += 1
    window.per_second[second] += 1
    window.first_event = min(window.first_event or event, event)
    window.last_event = max(window.last_event or event, event)


def place_of(value: str | bytes | None) -> tuple[str | None, object]:
    """The file that a line is from, and its first byte there; no file where its record does not say all of it."""
    try:
        found = json.loads(value) if value and value[:1] in (b"{", "{") else {}
    except (ValueError, RecursionError):
        return None, None
    given = [found.get(name) for name in ("host", "path", "file", "offset", "end")]
    complete = isinstance(found.get("log"), str) and None not in given
    return (json.dumps(given[:3]), given[3]) if complete else (None, None)


def read(line: str | bytes | None, log_format: str = "auto") -> tuple[datetime, str, int, str]:
    """Tell a line's time, status, size and format; raise `Rejected` where that can't be done."""
    text = unwrap(line)
    told = _fields(text) or _json_fields(text)
    if told is None:
        raise Rejected("format")
    time, status, size, name = told
    if log_format not in ("auto", name):
        raise Rejected("format")
    return _time(time) if name != "json" else _json_time(time), status, 0 if size == "-" else int(size), name


def unwrap(value: str | bytes | None) -> str:
    """Take the line out of a value; raise `Rejected` where there is none."""
    if value is None:
        raise Rejected("format")
    if isinstance(value, str):
        return value
    if len(value) > LONGEST_VALUE:
        raise Rejected("oversize")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Rejected("encoding") from None
    if not text.startswith("{"):
        return text
    try:
        found = _json(text)
    except (ValueError, RecursionError):
        raise Rejected("json") from None
    line = text if "log" not in found and "status" in found else found.get("log")
    if not isinstance(line, str):
        raise Rejected("json")
    return line


@lru_cache(maxsize=10_000)  # strptime would take most of the time of a recount of millions
def _time(text: str) -> datetime:
    try:
        if TIME.fullmatch(text) is None:
            raise ValueError(text)
        event = datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)
    except (ValueError, OverflowError):  # no such time, or one after the year 9999
        raise Rejected("time") from None
    if event < EPOCH:
        raise Rejected("time")
    return event


def _fields(line: str) -> tuple[str, str, str, str] | None:
    """Time, status, size and format, each as text; None where they can't be told apart."""
    match = LINE.fullmatch(line)
    if match and TIME.fullmatch(match[1]):
        return match[1], match[2], match[3], "combined_xff" if match[5] else "combined" if match[4] else "common"
    return _second_look(line.lstrip(SPACES).rstrip(SPACES + "\r\n"))


def _second_look(line: str) -> tuple[str, str, str, str] | None:
    """Read a line whose texts hold quotes, whose user holds spaces, or that has more space than needed."""
    head, quote, rest = line.partition('"')
    time = _head(head)
    if "\n" in line or not quote or time is None:
        return None
    for end, character in enumerate(rest):  # the request ends at the first quote that something fitting follows
        after = AFTER_REQUEST.match(rest, end + 1) if character == '"' else None
        if after:
            name = _tail(rest[after.end() :])
            if name:
                return time, after[1], after[2], name
    return None


def _head(head: str) -> str | None:
    """The time in `client - user [time] `, or None."""
    before, bracket, time = head.rpartition("[")
    closed = time.rstrip(SPACES)
    if not bracket or closed == time or not closed.endswith("]") or "]" in closed[:-1]:
        return None
    client, _, user = before.replace("\t", " ").partition(" ")
    user = user.lstrip(" ")
    names_user = len(user) >= 4 and user[:2] == "- " and user[-1] == " "  # `-`, a gap, at least one character, a gap
    return closed[:-1] if client and names_user else None


def _tail(tail: str) -> str | None:
    """The format that what stands behind the size is of, or None."""
    for name, front in _fronts(tail):
        if NAMED.fullmatch(tail, front):
            return name
    return None


def _fronts(tail: str) -> Iterator[tuple[str, int]]:
    """The formats that the beginning of a tail may be of, and where they end: as soon as possible."""
    yield "common", 0
    for end in (place + 1 for place, character in enumerate(tail) if character == '"'):
        name = _texts(tail[:end])
        if name:
            yield name, end


def _texts(tail: str) -> str | None:
    texts = re.fullmatch(r'[ \t]+"[^"\n]*"[ \t]+"(.*")', tail)  # a referrer without quotes, and what follows it
    if texts is None:
        return None
    _agent, *more = re.split(r'"[ \t]+"', texts[1])  # quote, space, quote is the border of two texts
    if not more:
        return "combined"
    return "combined_xff" if len(more) == 1 and more[0].count('"') == 1 else None


JSON_TIMES = ("time_iso8601", "time_local", "msec", "time", "timestamp", "@timestamp")


def _no_number(text: str) -> float:
    raise ValueError(text)


def _whole(text: str) -> int:
    if abs(float(text)) == float("inf"):
        raise ValueError(text)
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    return number if abs(number) != float("inf") else _no_number(text)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    json.dumps(pairs, ensure_ascii=False).encode()  # of two equal names the first is looked at, too
    return dict(pairs)


def _json(text: str) -> dict[str, object]:
    """An object; `ValueError` for what only Python takes for JSON: NaN, numbers too large, halves of characters."""
    found: dict[str, object] = json.loads(
        text, parse_constant=_no_number, parse_int=_whole, parse_float=_float, object_pairs_hook=_members
    )
    return found


def _json_fields(line: str) -> tuple[str, str, str, str] | None:
    """The same of a JSON line; the time may be of any kind."""
    if not line.startswith("{"):
        return None
    try:
        found = _json(line)
    except (ValueError, RecursionError):
        return None
    time, status = _first(found, *JSON_TIMES), _first(found, "status")
    size = _first(found, "body_bytes_sent", "bytes_sent") or "-"
    asks = [name for name in ("remote_addr", "request", "request_uri", "uri") if _first(found, name) is not None]
    if time is None or status is None or not asks:
        return None
    fit = re.fullmatch("[0-9]{3}|-", status or "-") and re.fullmatch("[0-9]{1,13}|-", size)
    return (time, status or "-", size, "json") if fit else None


def _first(found: dict[str, object], *names: str) -> str | None:
    given = [found[name] for name in names if found.get(name) is not None]
    fits = given and isinstance(given[0], str | int | float) and not isinstance(given[0], bool)
    return str(given[0]) if fits else None


def _json_time(text: str) -> datetime:
    if TIME.fullmatch(text):
        return _time(text)
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        whole, _, fraction = text.partition(".")
        try:
            return EPOCH + timedelta(seconds=int(whole), microseconds=int(fraction[:6].ljust(6, "0")))
        except OverflowError:
            raise Rejected("time") from None
    iso = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d)(?:\.(\d{1,9}))?(Z|[-+]\d\d:?\d\d)", text, re.ASCII)
    try:
        if iso is None:
            raise ValueError(text)
        event = datetime.strptime(iso[1] + iso[3], "%Y-%m-%dT%H:%M:%S%z").astimezone(UTC)
    except (ValueError, OverflowError):
        raise Rejected("time") from None
    if event < EPOCH:
        raise Rejected("time")
    return event + timedelta(microseconds=int((iso[2] or "0")[:6].ljust(6, "0")))
