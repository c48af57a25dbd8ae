"""Seeds: values that a raw topic holds, good and nearly good; what is tried begins as one of these."""

import json
from pathlib import Path

from kpi_app.sources.visitors import BOTS, BROWSERS, SCANNER

_TIME = "23/May/2023:14:21:08 +0000"
_START = f"192.0.2.7 - - [{_TIME}]"
_AGENTS = (*BROWSERS[:6], *BOTS[:6], SCANNER, "-", "curl/8.5.0", "Mozilla/5.0 (PlayStation 5) AppleWebKit/605.1.15")

LINES = (
    f'{_START} "GET /x?a=%20b#c HTTP/1.1" 200 5120',
    f'{_START} "" 400 0 "-" "-"',
    f'{_START} "\\x16\\x03\\x01\\x02" 400 157 "-" "-" "-"',
    f'2001:db8::7 - frank [{_TIME}] "POST http://u@h.example:80/a?b HTTP/2.0" 302 - "http://u@Ex.org:8/" "a \\"b\\" c"',
    f'host.example - frank sinatra [{_TIME}] "CONNECT h.example:443 HTTP/1.1" 499 17 "-" "x"  ',
    f'unix: - a [b] [{_TIME}] "OPTIONS * HTTP/1.0" - 0 "http://[2001:db8::1]:80/" "a "b" c"\r\n',
    f'10.1.1.1 - - [{_TIME}] "GET / HTTP/1.1" 200 5 "-" "x" "198.51.100.9, [2001:db8::5]:443, 10.2.2.2"',
    f'10.1.1.1 - - [{_TIME}] "GET / HTTP/1.1" 200 5 "-" "x" "6.6.6.6, ?" rt=0.123 host=Ex.org:80 urt="0.1, 0.2"',
    f'{_START} "GET / HTTP/1.1" 200 5 "-" "x" urt=0.1, 0.2 : 0.3 rt=1e3 server_name="é.example" uct="-"',
    f'{_START} "GET (other) HTTP/3" 999 9999999999999 host=-',
    f'2001:db8:1:2:3:4:5:6 - - [{_TIME}] "GET /{"é" * 300} HTTP/1.1" 200 5 "https://{"a." * 300}/" "{"Bot" * 200}" "-"',
    f'::ffff:192.0.2.7 - - [{_TIME}] "HEAD / HTTP/1.1" 200 0 "-" "-" "2001:db8:1:2:3:4:5:6"',
    *(f'{_START} "GET /{n} HTTP/1.1" 200 {n} "https://example.org/" "{agent}" "-"' for n, agent in enumerate(_AGENTS)),
    *(
        f'{_START.replace(_TIME, time)} "GET / HTTP/1.1" 200 5'
        for time in ("31/Dec/9999:23:59:59 -0001", "01/Jan/1970:00:30:00 +0100", "29/Feb/2024:23:59:59 -1200", "", "-")
    ),
)

_JSON = {
    "time_iso8601": "2023-05-23T14:21:08.5+00:00",
    "remote_addr": "192.0.2.7",
    "request": "GET /x HTTP/1.1",
    "status": "200",
    "body_bytes_sent": 5120,
    "http_referer": "https://example.org/a",
    "http_user_agent": BROWSERS[0],
    "http_x_forwarded_for": "198.51.100.9, 10.2.2.2",
    "request_time": 0.123,
    "host": "Example.org",
}

OBJECTS: tuple[dict[str, object], ...] = (
    _JSON,
    {
        "msec": "1684851668.123",
        "status": 404,
        "request_method": "GET",
        "request_uri": "http://a.example?b",
        "bytes_sent": "-",
    },
    {
        "time_local": _TIME,
        "status": "",
        "remote_addr": "é",
        "server_protocol": "HTTP/1.1",
        "uri": "/a b",
        "request_time": "-",
    },
    {"@timestamp": 1684851668, "status": "-", "request": "", "host": None, "http_host": "[::1]:80", "log": None},
    {"log": LINES[0], "stream": "stdout", "x": [{"a": [1.5, True, None]}]},
)

_EXTRAS: tuple[dict[str, object], ...] = (
    {"@timestamp": "2026-11-22T11:04:14.479655Z", "path": "/var/log/nginx/access.log", "offset": 264},
    {"@timestamp": 1795343754.046326, "offset": 0},
    {"@timestamp": "2026-11-22T11:04:14Z", "host": "a", "path": "/b", "file": "c", "offset": 7, "end": 8},
    {"path": '/a"é\\b', "x": {}},
    {},
)


#: The kind of envelope that `kpi ship` writes.
SHIPPED = 7


def wrapped(line: str, kind: int = 0) -> bytes:
    """Give a line in an envelope, in one of some ways to write the same."""
    extra = _EXTRAS[kind % len(_EXTRAS)]
    separators = (",", ":") if kind % 3 else None
    return json.dumps({**extra, "log": line}, ensure_ascii=kind % 2 == 0, separators=separators).encode()


def corpus(*files: Path) -> tuple[bytes, ...]:
    """All seeds as values, and the lines of these files, every second one of them in an envelope."""
    objects = tuple(json.dumps(each) for each in OBJECTS)
    lines = (*LINES, *objects * 3)
    bare = [line.encode() for line in lines]
    shipped = [wrapped(line, kind) for kind, line in enumerate(lines)]
    given = [line for file in files for line in file.read_bytes().splitlines()]
    real = [wrapped(line.decode(errors="replace"), 1) if n % 2 else line for n, line in enumerate(given)]
    return (*bare, *shipped, *real)


#: Pieces that parsers trip over, to put anywhere.
TOKENS: tuple[bytes, ...] = tuple(
    token.encode("utf-8", "surrogatepass")
    for token in (
        *('"', '""', "\\", "\\\\", '\\"', "\\x22", "\\u0000", "\\ud800", "\\udc00", "\\n", "\\/", "'", "`"),
        *("[", "]", "{", "}", "(", ")", "<script>", "(other)", "(none)", "{}", "[]", '{"log":"', '"}', '"log":'),
        *(",", ":", ";", "=", "-", " - ", " ", "  ", "\t", "\n", "\r", "\r\n", "\0", "\x07", "\x1b[2J", "\x7f", "\x85"),
        *("%", "%00", "%2e%2e/", "?", "#", "//", "://", "@", "..", "*", "+", "&", "|", "$", "^"),
        *(
            "\u2028",
            "\u2029",
            "\ufeff",
            "\u202e",
            "\u200d",
            "\u0301",
            "\u0130",
            "ß",
            "ﬃ",
            "é",
            "😀",
            "\ud800",
            "\ufffd",
        ),
        *("\u2003", "\xa0", "\u1680", "１", "٢", "\U0010ffff", "\U000e0001", "K"),
        *("0", "-1", "1.", ".5", "1e999", "1e-999", "-0", "NaN", "Infinity", "0x1", "9" * 13, "9" * 14, "9" * 40),
        *(str(2**63), str(2**64), str(-(2**63) - 1), "true", "null", "1_000", "+1", "1e5", "00"),
        *(
            ' "-"',
            '" "',
            '" 200 5 "',
            ' 200 5 "-" "x"',
            "] ",
            '] "',
            "- - [",
            " rt=",
            " rt=0.1",
            " host=",
            " =",
            ", ",
            " : ",
        ),
        *(
            "GET / HTTP/1.1",
            "HTTP/",
            "::1",
            "::ffff:1.2.3.4",
            "fe80::1%eth0",
            "1.2.3.4",
            "256.1.1.1",
            "[::1]:80",
            "unix:",
        ),
        *("May", "Feb", "31/", "/0000:", "/9999:", ":60 ", " +2400", " -2359", "Z", "T24:00:00", "2023-02-30"),
        *("bot", "Mobile", "Tablet", "Android", "tv", "compatible;", "Mozilla/5.0 (", "Version/"),
    )
)

#: Texts that a JSON value is replaced by, as JSON.
JSON_VALUES: tuple[str, ...] = (
    *("null", "true", "[]", "{}", '""', '"-"', '"200"', "200", "20.0", "2e2", "-0", "-0.0", "1e400", "-1", "1.5"),
    *('"\\u0000"', '"\\ud83d\\ude00"', '"\\u202e"', "9" * 20, "9" * 400, "0." + "1" * 40, '"1684851668.1234567891"'),
    *(
        '"2023-05-23T14:21:08Z"',
        '"9999-12-31T23:59:59-23:59"',
        '"0001-01-01T00:00:00+23:59"',
        "[[[[1]]]]",
        '"999999999999"',
    ),
)
