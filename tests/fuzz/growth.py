"""Growth: values of any length that would hold up a careless reader, and how their time grows with their length."""

import json
from collections.abc import Callable, Iterable
from time import process_time

from faust.types import TP

from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.envelope import decode
from kpi_app.stream.deadletters import DeadLetter
from tests.fuzz.claims import TRUSTING
from tests.fuzz.seeds import LINES, SHIPPED, wrapped

_WHERE = TP("t", 0)
_START = '10.1.1.1 - - [23/May/2023:14:21:08 +0000] "'
_WHOLE = _START + 'GET {} HTTP/1.1" 200 5 "{}" "{}" "{}"'


def _fill(piece: str, size: int) -> str:
    return piece * (size // len(piece.encode()))


def _request(piece: str) -> Callable[[int], str]:
    return lambda size: _WHOLE.format(f"/{_fill(piece, size)}", "-", "-", "-")


def _referrer(piece: str, start: str = "") -> Callable[[int], str]:
    return lambda size: _WHOLE.format("/", start + _fill(piece, size), "-", "-")


def _agent(piece: str, start: str = "") -> Callable[[int], str]:
    return lambda size: _WHOLE.format("/", "-", start + _fill(piece, size), "-")


def _forwarded(piece: str) -> Callable[[int], str]:
    return lambda size: _WHOLE.format("/", "-", "-", _fill(piece, size))


def _open(piece: str, end: str = "") -> Callable[[int], str]:
    """A line that goes on with the piece where its request begins, and is perhaps never one."""
    return lambda size: _START + _fill(piece, size) + end


def _behind(piece: str, end: str = "") -> Callable[[int], str]:
    return lambda size: _WHOLE.format("/", "-", "-", "-") + " " + _fill(piece, size) + end


def _before(piece: str) -> Callable[[int], str]:
    return lambda size: _fill(piece, size) + LINES[0]


def _json(member: Callable[[int], str]) -> Callable[[int], str]:
    start = '{"time_iso8601":"2023-05-23T14:21:08Z","status":200,"request":"GET / HTTP/1.1",'
    return lambda size: start + member(size) + "}"


def _member(name: str, piece: str) -> Callable[[int], str]:
    return _json(lambda size: f'"{name}":{json.dumps(_fill(piece, size), ensure_ascii=False)}')


#: By what they are made of; each gives a value of about so many bytes.
GROWING: dict[str, Callable[[int], str]] = {
    "quotes": _open('"'),
    "quotes and spaces": _open('" '),
    "quotes, and a good end": _open('"', ' 200 5 "-" "x"'),
    "ends of requests": _open('" 200 5 '),
    "ends of requests, without a size": _open('" 200 '),
    "texts": _open('" "'),
    "backslashes": _open("\\"),
    "backslashes and quotes": _open('\\"', '" 200 5'),
    "backslashes in a path": _request("\\"),
    "opening brackets": _before("["),
    "brackets": _before("[] "),
    "spaces before": _before(" "),
    "spaces behind": lambda size: LINES[0] + _fill(" ", size) + "x",
    "users": _before("- - ["),
    "slashes": _request("/"),
    "percents": _request("%2e%2e%2f"),
    "queries": _request("?a=b&"),
    "combining marks": _request("e\u0301\u0323"),
    "letters that change with case": _member("host", "\u0130"),
    "directions of writing": _request("\u202e"),
    "schemes": _referrer("http://"),
    "users of sites": _referrer("a@", "http://"),
    "ports of sites": _referrer(":80", "http://a"),
    "labels of sites": _referrer("a.", "http://"),
    "products": _agent("Mozilla/5.0 Version/1.0 "),
    "nested brackets in an agent": _agent("("),
    "quotes in an agent": lambda size: _WHOLE.format("/", "-", _fill('x" y', size), "-"),
    "closed brackets in an agent": _agent("(a;) "),
    "digits in an agent": _agent("1.", "Chrome/"),
    "systems": _agent("Android 1; Windows NT 1; ", "Mozilla/5.0 ("),
    "bots": _agent("bot"),
    "blanks in an agent": _agent(" ", "Mozilla"),
    "hops": _forwarded("10.1.1.1, "),
    "commas": _forwarded(","),
    "a hop": _forwarded("1"),
    "blanks between hops": _forwarded(" "),
    "named fields": _behind("a=b "),
    "named fields, and then none": _behind("a=b ", '"'),
    "one named field": _behind("a"),
    "times of upstreams": _behind("0.1, 0.2 : ", "rt="),
    "a list of times": lambda size: _behind("0.1, ", "0.1 rt=1")(size).replace('"-" 0.1', '"-" urt=0.1', 1),
    "quotes of named fields": _behind('a="" ', "b"),
    "a request time": _behind("9"),
    "deep arrays": _json(lambda size: f'"x":{"[" * (size // 2)}{"]" * (size // 2)}'),
    "deep objects": lambda size: '{"a":' * (size // 5),
    "arrays, never closed": lambda size: '{"log":' + "[" * size,
    "members": _json(lambda size: ",".join(f'"k{n:06}":1' for n in range(size // 12))),
    "equal members": _json(lambda size: ",".join(['"host":1'] * (size // 9))),
    "escapes": lambda size: '{"log":"' + "\\u0041" * (size // 6) + '"}',
    "escaped quotes": lambda size: '{"log":"' + '\\"' * (size // 2) + '"}',
    "escaped backslashes": lambda size: '{"log":"' + "\\\\" * (size // 2) + '"}',
    "logs": lambda size: '{"path":"' + '\\"log\\":\\"' * (size // 12) + '","log":""}',
    "digits": _json(lambda size: f'"request_time":0.{"1" * size}'),
    "a whole number": _json(lambda size: f'"body_bytes_sent":{"1" * size}'),
    "digits in a text": _json(lambda size: f'"request_time":"{"1" * size}"'),
    "digits of a time": lambda size: '{"msec":"1.%s","status":200,"uri":""}' % ("1" * size),
    "addresses in what is rejected": lambda size: "x" + _fill("1.2.3.4:", size),
    "groups in what is rejected": lambda size: "x" + _fill("ab:", size),
    "lines": lambda size: _fill(LINES[1] + "\n", size),
    "bytes": lambda size: "\0" * size,
}


def _shipped(make: Callable[[int], str]) -> Callable[[int], str]:
    """The same in an envelope, half as long: escapes may double it."""
    return lambda size: wrapped(make(size // 2), SHIPPED).decode()


GROWING |= {f"{name}, shipped": _shipped(make) for name, make in GROWING.items()}


#: Bytes of the line whose time is taken, near the longest that is read, and how many shorter ones are as long together.
SIZE = 256_000
PARTS = 8


#: What `growth` may come to. Eight is what square time comes to; what is linear was seen at 2.2 at most.
MOST_GROWTH = 4.0


def too_slow(names: Iterable[str] = GROWING) -> dict[str, float]:
    """Give those whose time is not linear in their length, and their growth; who seems so is measured with care."""
    seconds([LINES[0].encode()])  # what is loaded with the first line
    seeming = [name for name in names if growth(name, rounds=1) > MOST_GROWTH]
    return {name: slow for name in seeming if (slow := growth(name, rounds=5)) > MOST_GROWTH}


def growth(name: str, rounds: int) -> float:
    """Give how many times as long one line takes as eight of an eighth of its length: 1 if time is linear, 8 if square.

    Of CPU time, and of each the least of some rounds. What takes a batch some time whatever is in it is on both sides.
    """
    make = GROWING[name]
    long = [make(SIZE).encode()]
    short = [make(SIZE // PARTS - 100 * n).encode() for n in range(PARTS)]  # equal ones would be looked at once
    took = [(seconds(long), seconds(short)) for _ in range(rounds)]
    return min(one for one, _ in took) / min(many for _, many in took)


def seconds(values: list[bytes]) -> float:
    """CPU time from values to parsed lines, and to the dead letters of those that are rejected."""
    began = process_time()
    reasons = ACCESS.parse(decode(values, ACCESS.look), TRUSTING)["reason"]
    for value, reason in zip(values, reasons, strict=True):
        if reason is not None:
            DeadLetter.of(_WHERE, 0, None, reason, value, True)
    return process_time() - began
