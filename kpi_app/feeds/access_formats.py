r"""What the lines of access logs look like, field by field.

    common          client ident user [time] "request" status bytes
    combined        … "referrer" "agent"                (nginx's default, Apache's combined)
    combined_xff    … "referrer" "agent" "xff"          (a quoted X-Forwarded-For behind it)
    json            {"time_iso8601":"…","status":"200",…}   (nginx's escape=json; see `access_json`)

Behind each of the first three there may be fields with names, in any order: `… rt=0.123 host=example.org uct="-"`.

Sources: nginx, ngx_http_log_module (it writes quotes, backslashes and control characters as \xHH) and
Apache, mod_log_config, "Common Log Format" (it writes \" and \\).

A line is told apart in up to three looks. `ESCAPED` takes what servers nearly always write while it stands escaped in
its envelope, `STRICT` what they really write. Each choice of these two is decided by the next character ("one-pass"),
which makes them four times as fast as a regex that has to look ahead: keep it so. (One that grows too large, of
character classes that span all of Unicode for one, is no longer read in one pass, either.) `LENIENT` takes the rest
that a reader would still tell apart. Polars' regexes never backtrack: all looks take linear time on any line.
"""

from typing import NamedTuple

COMMON, COMBINED, COMBINED_XFF, JSON = FORMATS = ("common", "combined", "combined_xff", "json")

#: A time such as 23/May/2023:14:21:08 +0000. No second 60: servers log Unix time, which has no leap seconds.
TIME = "[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-5][0-9] [-+][0-9]{4}"


class Look(NamedTuple):
    """What a field looks like to each of the looks."""

    strict: str
    lenient: str
    escaped: str


# Strict text ends at the first quote that no backslash escapes. No field holds a line break, or two lines in
# one value would count as one.
_TEXT = r'(?:[^"\\\n]|\\[^\n])*'

# Escaped text holds nothing that JSON escapes, and none of it but texts anything beyond ASCII.
_ESCAPED_TEXT = r'[^"\\\x00-\x1f]*'
_ESCAPED_WORD = r"[!#-\[\]-~]+"

# Lenient text may hold quotes where clients are known to send them to servers that don't escape them: in the
# request, which ends where status and size follow, and in the agent, which holds no quote, space, quote and ends as
# soon as the rest of the line fits. So a line with more texts than there are fields is rejected, instead of having
# its columns shifted.
_AGENT = r'(?:[^"\n]|"+[^" \t\n]|"+[ \t]+[^" \t\n])*?"*?'
_UNQUOTED = r'[^"\n]*'

# 13 digits are 10 TB, over a thousand times any real response, and surely an int64.
_SIZE = "[0-9]{1,13}|-"

# The names and values behind a line. nginx writes the times of several upstreams as `0.1, 0.2 : 0.3`, which
# `LENIENT` takes without quotes, too.
_NAME = "[A-Za-z_][A-Za-z0-9_.-]*"
_STRICT_NAMED = rf'{_NAME}=(?:"{_TEXT}"|[^" \r\n]*)'
_LENIENT_NAMED = rf'{_NAME}=(?:"{_UNQUOTED}"|[^" \t\r\n]*(?:(?:,|[ \t]+:)[ \t]+[^"= \t\r\n]+)*)'
_ESCAPED_NAMED = rf'{_NAME}=(?:\\"{_ESCAPED_TEXT}\\"|[!#-\[\]-~]*)'
_NAMED = Look(
    rf"{_STRICT_NAMED}(?: {_STRICT_NAMED})*",
    rf"{_LENIENT_NAMED}(?:[ \t]+{_LENIENT_NAMED})*",
    rf"{_ESCAPED_NAMED}(?: {_ESCAPED_NAMED})*",
)

FIELDS = {
    "client": Look(r"[^ \n]+", r'[^" \t\n]+', _ESCAPED_WORD),
    # always `-` today: it tells a user name with spaces from a shifted line
    "ident": Look(r"[^ \n]+", "-", _ESCAPED_WORD),
    "user": Look(r"[^ \n]+", r'[^"\n]+?', _ESCAPED_WORD),
    # whatever the brackets hold: then the time is wrong, not the format
    "time": Look(TIME, r'[^"\[\]\n]*', TIME),
    "request": Look(_TEXT, r"[^\n]*?", _ESCAPED_TEXT),
    "status": Look("[0-9]{3}", "[0-9]{3}|-", "[0-9]{3}"),
    "bytes": Look(_SIZE, _SIZE, _SIZE),
    "referrer": Look(_TEXT, _UNQUOTED, _ESCAPED_TEXT),
    "agent": Look(_TEXT, _AGENT, _ESCAPED_TEXT),
    "xff": Look(_TEXT, _UNQUOTED, _ESCAPED_TEXT),
    # the same fields, by what they stand behind: with one place for all of them the regex would not be one-pass
    "named_common": _NAMED,
    "named_combined": _NAMED,
    "named_xff": _NAMED,
}

#: Fields that are matched and left.
LEFT = frozenset({"ident", "user"})

_LINE = (
    r'{client} {ident} {user} \[{time}\] "{request}" {status} {bytes}'
    r'(?: (?:"{referrer}" "{agent}"(?: (?:"{xff}"(?: {named_xff})?|{named_combined}))?|{named_common}))?'
)


def _regex(line: str, patterns: dict[str, str]) -> str:
    groups = {name: f"(?:{p})" if name in LEFT else f"(?P<{name}>{p})" for name, p in patterns.items()}
    return line.format(**groups)


STRICT = rf"^{_regex(_LINE, {name: look.strict for name, look in FIELDS.items()})}\r?\n?$"
#: Of a line as it stands in JSON text, without the quotes around it.
ESCAPED = _regex(_LINE.replace('"', r'\\"'), {name: look.escaped for name, look in FIELDS.items()})
LENIENT = (
    r"^[ \t]*"
    + _regex(_LINE.replace(" ", r"[ \t]+"), {name: look.lenient for name, look in FIELDS.items()})
    + r"[ \t\r\n]*$"
)


def named(*names: str) -> str:
    """Give a regex that finds, in named fields, the first one of these names: group 1 is its text, or group 2 bare."""
    return rf'^(?:{_LENIENT_NAMED}[ \t]+)*?(?:{"|".join(names)})=(?:"({_TEXT})"|([^" \t\r\n]*))'
