"""Hypothesis strategies for what a raw topic may hold: good values, bad ones, and good ones gone bad."""

import json

from hypothesis import strategies as st

#: What breaks parsers, in pieces; glued together they make the rest.
SHARDS = st.sampled_from(
    [
        *('{"log":"', '"}', "{", "}", "[", "]", '"', "\\", "\\\\", '\\"', "\\u", "\\ud800", "\\u0000", "\\/", "\\x22"),
        *(
            '"log":',
            '"log"',
            '"path":"',
            '"offset":',
            '"@timestamp":',
            ",",
            ":",
            "0",
            "01",
            "-1",
            "1.",
            "1e999",
            "9" * 30,
        ),
        *(
            "\n",
            "\r",
            "\t",
            " ",
            "\0",
            "\x1b[2J",
            "\x7f",
            "\x85",
            "\u2028",
            "\ufeff",
            "é",
            "😀",
            "\u202e",
            "NaN",
            "null",
        ),
        *('" 200 5 "', '" "', '" 404 1', ' 200 5 "-" "x"', "- - [", "]", "] ", '] "', " - ", "  ", "-"),
    ]
)
GLUED = st.lists(SHARDS, max_size=12).map("".join)

MONTHS = ["Jan", "Feb", "May", "Sep", "Dec"]
CLOCKS = st.builds(
    "{:02}/{}/{:04}:{:02}:{:02}:{:02} {}{:04}".format,
    st.integers(0, 32),
    st.sampled_from([*MONTHS, *MONTHS, "may", "MAY", "Mai", "M/y"]),
    st.sampled_from([0, 1, 1969, 1970, 2023, 2024, 9999]),
    st.integers(0, 24),
    st.integers(0, 60),
    st.integers(0, 61),
    st.sampled_from("+-"),
    st.sampled_from([0, 0, 100, 530, 1200, 2359, 2400, 60, 99, 9999]),
)
NEAR = st.builds("23/May/2023:14:{:02}:{:02} +0000".format, st.integers(0, 59), st.integers(0, 59))
TIMES = (
    NEAR
    | NEAR
    | NEAR
    | CLOCKS
    | GLUED
    | st.sampled_from(["", "-", "3/May/2023:14:21:08 +0000", "2023-05-23T14:21:08Z"])
)

CLIENTS = st.sampled_from(
    ["192.0.2.1"] * 6 + ["1.2.3.4", "2001:db8::1", "::ffff:1.2.3.4", "unix:", "host.example", "-", "", 'a"b']
)
USERS = st.sampled_from(["-", "frank", "frank sinatra", "a[b", "a]b", "a [b] c", " ", "", '""', "x\\x22", "é"])
TEXTS = st.sampled_from(
    ["-", "", "GET / HTTP/1.1", r"\x16\x03\x01", r"a \"b\" c", 'a "b" c', "a\\", "Mozilla/5.0 (X11)"]
)
SIZES = st.sampled_from(
    ["17"] * 12 + ["-", "0", "5", "22167", "9" * 13, "9" * 14, "00000000000005", "-5", "1.5", "", "１２"]
)
STATUSES = st.sampled_from(
    ["302"] * 12 + ["200", "101", "304", "404", "500", "499", "000", "999", "-", "20", "2000", "", "٢٠٠"]
)
GAPS = st.sampled_from([" "] * 24 + ["  ", "\t", "", "\n"])
ENDS = st.sampled_from(
    [""] * 8
    + ["\r", "\n", "\r\n", " ", " 0.123", ' "-"', "\n\n"]
    + [
        " rt=0.123",
        ' host=a.example urt="0.1, 0.2"',
        " rt=0.1, 0.2 : 0.3 x=",
        ' a="b" c',
        " =",
        " a=b\r\n",
        ' a="b"c=d',
    ]
)


@st.composite
def _lines(draw: st.DrawFn) -> str:
    texts = draw(st.lists(TEXTS | TEXTS | GLUED, min_size=1, max_size=4))
    ident = draw(st.sampled_from(["-"] * 8 + ["id", "1.2.3.4"]))
    request, *rest = (f'"{text}"' for text in texts)
    pieces = [draw(CLIENTS), ident, draw(USERS), f"[{draw(TIMES)}]", request, draw(STATUSES), draw(SIZES), *rest]
    return "".join(piece + draw(GAPS) for piece in pieces[:-1]) + pieces[-1] + draw(ENDS)


#: Lines that a server wrote.
GOOD_LINES = st.builds(
    '{} - {} [{}] "{}" {} {}{}'.format,
    st.sampled_from(["1.2.3.4", "2001:db8::1"]),
    st.sampled_from(["-", "frank"]),
    NEAR,
    st.sampled_from(["GET / HTTP/1.1", "", "-", r"\x16\x03", r"GET /\"x\" HTTP/1.0"]),
    st.sampled_from(["200", "304", "404", "500", "101", "000"]),
    st.sampled_from(["-", "0", "5", "22167"]),
    st.sampled_from(["", ' "-" "Mozilla/5.0"', ' "-" "Mozilla/5.0" "-"', r' "http://a/" "x \"y\"" "1.2.3.4, 5.6.7.8"']),
)

JSON_VALUES = st.sampled_from(
    [
        "200",
        200,
        "-",
        "",
        None,
        5,
        "5120",
        0.25,
        "0.25",
        True,
        [],
        "GET / HTTP/1.1",
        "1.2.3.4",
        1684851668.5,
        "x\0\u202e",
    ]
)
JSON_TIMES = st.sampled_from(
    [
        *("2023-05-23T14:21:08+00:00", "2023-05-23T14:21:08.5Z", "23/May/2023:14:21:08 +0000", "1684851668.123"),
        *("", "-", "2023-02-30T14:21:08Z", "9999-12-31T23:59:59-01:00", "1969-12-31T23:59:59Z", "9" * 12, "x"),
        *(1684851668, None),
    ]
)

#: JSON lines as nginx writes them, and others.
JSON_LINES = st.builds(
    lambda time, fields: json.dumps({**time, **fields}),
    st.dictionaries(st.sampled_from(["time_iso8601", "time_local", "msec", "time"]), JSON_TIMES, max_size=2),
    st.dictionaries(
        st.sampled_from(["remote_addr", "request", "request_uri", "http_referer", "http_user_agent", "request_time"]),
        JSON_VALUES,
    )
    | st.fixed_dictionaries(
        {"status": JSON_VALUES, "remote_addr": JSON_VALUES, "body_bytes_sent": JSON_VALUES},
        optional={"bytes_sent": JSON_VALUES, "log": JSON_VALUES, "request": JSON_VALUES},
    ),
)

#: Lines that are good, nearly so, or not at all.
LINES = GOOD_LINES | _lines() | _lines() | JSON_LINES | GLUED | st.text()


def _wrap(line: str, compact: bool, ascii_only: bool, extra: dict[str, object]) -> bytes:
    separators = (",", ":") if compact else None
    return json.dumps({**extra, "log": line}, ensure_ascii=ascii_only, separators=separators).encode()


EXTRAS: st.SearchStrategy[dict[str, object]] = st.sampled_from(
    [
        {"@timestamp": "2026-11-22T11:04:14.479655Z", "path": "/var/log/nginx/access.log", "offset": 264},
        {"@timestamp": 1795343754.046326, "offset": 2**63},
        {"path": '/a"b\\c\nd', "@timestamp": 1e300},
        {"log ": 1, "x": [[{}]], "offset": -1},
        {},
    ]
)

#: Values as Fluent Bit writes them, around any line.
WRAPPED = st.builds(_wrap, LINES, st.booleans(), st.booleans(), EXTRAS)


@st.composite
def _broken(draw: st.DrawFn) -> bytes:
    value = draw(WRAPPED)
    start = draw(st.integers(0, len(value)))
    end = draw(st.integers(start, min(len(value), start + 5)))
    return value[:start] + draw(GLUED.map(str.encode) | st.binary(max_size=3)) + value[end:]


#: Anything that a Kafka record may hold.
VALUES: st.SearchStrategy[bytes | None] = (
    WRAPPED | WRAPPED | _broken() | LINES.map(str.encode) | GLUED.map(str.encode) | st.binary(max_size=30) | st.none()
)
