"""A database URL: whether its parts are surely what was meant, and how it is shown.

A `@` or `/` of a password that is not percent-encoded makes its end the host: then a part of the password would be
looked up, and told as an address. So a URL that can be read in two ways is refused, before anybody reads it in one.
"""

import re
from urllib.parse import parse_qsl

from pydantic import SecretStr

_SHAPE = "not postgresql://user:password@host:port/database"
_ENCODE = "in user, password and database write @ as %40, / as %2F, # as %23, ? as %3F, [ as %5B and ] as %5D"

#: One host of several, and its port: a name or address, or `[::1]`. A socket's directory is percent-encoded.
_HOST = re.compile(r"(?:\[[:.%\w]+\]|[^\[\]:/@\s]*)(?::(?P<port>[^:]*))?", re.ASCII)


def unambiguous(value: SecretStr) -> SecretStr:
    """The URL, if it can be read in one way only. Raises `ValueError`, which holds nothing of it."""
    url = value.get_secret_value()
    scheme, separator, rest = url.partition("://")
    if scheme.lower() not in ("postgresql", "postgres") or not separator:
        raise ValueError(_SHAPE)
    before, question, query = rest.partition("?")
    user, _, place = before.rpartition("@")
    if "#" in rest or "@" in query or re.search(r"[@/\[\]]", user) or (question and not _is_query(query)):
        raise ValueError(f"{_SHAPE}: {_ENCODE}")
    named = dict(parse_qsl(query))
    ports = [_port(host) for host in place.partition("/")[0].split(",")] + named.get("port", "").split(",")
    if not all(port == "" or (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65_536) for port in ports):
        raise ValueError("its port is none of 1 to 65535")
    return value


def without_password(url: str) -> str:
    """A database URL that may be printed."""
    # By what it looks like, not by its parts: in a URL that is not well-formed these are elsewhere.
    return re.sub(r"(password=)[^&]*", r"\1***", re.sub(r"(?<=://)([^:@]*):.*@", r"\1:***@", url))


def _is_query(query: str) -> bool:
    return all(re.fullmatch(r"\w+=[^=]+", pair, re.ASCII) for pair in query.split("&"))


def _port(host: str) -> str:
    found = _HOST.fullmatch(host)
    if found is None:
        raise ValueError(f"{_SHAPE}: {_ENCODE}")
    return found["port"] or ""
