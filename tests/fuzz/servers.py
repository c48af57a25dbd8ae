"""Servers: lines as nginx and Apache write them, of whatever was sent to them."""

import json
import re
from typing import Any

from kpi_app.feeds.access_formats import JSON

#: What a stranger sends, and what JSON lines call it.
_JSON_NAMES = {
    "request": "request",
    "referrer": "http_referer",
    "agent": "http_user_agent",
    "xff": "http_x_forwarded_for",
    "host": "host",
}
SENT = (*_JSON_NAMES, "user")
_NGINX_ESCAPES = re.compile(r'["\\\x00-\x1f]|[^\x00-\x7e]')
_APACHE_ESCAPES = re.compile(r'["\\\x00-\x1f\x7f]')

#: What a line says, by the names of `access_fields.SCHEMA`.
Says = dict[str, Any]


def as_nginx(texts: dict[str, str]) -> tuple[str, Says]:
    """A line as nginx writes it, and what it says; the user comes from the request, too, and may hold spaces."""
    return _written({name: _NGINX_ESCAPES.sub(_as_hex, text) for name, text in texts.items()})


def as_apache(texts: dict[str, str]) -> tuple[str, Says]:
    """A line as Apache writes it, of a user whose name has no spaces."""
    escaped = {name: _APACHE_ESCAPES.sub(_with_backslash, text) for name, text in texts.items()}
    return _written(escaped | {"user": escaped["user"].replace(" ", "")})


def as_json(texts: dict[str, str]) -> tuple[str, Says]:
    """A line as nginx writes it with `escape=json`."""
    given = {
        "msec": 1.5,
        "status": "404",
        **{_JSON_NAMES[name]: text for name, text in texts.items() if name != "user"},
    }
    told = {name: text for name, text in texts.items() if name != "user"}
    return json.dumps(given, ensure_ascii=False), told | {"status": "404", "event_us": 1_500_000, "format": JSON}


def _written(texts: dict[str, str]) -> tuple[str, Says]:
    user = texts.pop("user") or "-"
    says = {"client": "192.0.2.7", "time": "23/May/2023:14:21:08 +0000", "status": "404", "bytes": "17"}
    line = (
        '{client} - {user} [{time}] "{request}" {status} {bytes} "{referrer}" "{agent}" "{xff}" rt=0.5 host="{host}"'
    ).format(user=user, **says, **texts)
    return line, says | texts | {"request_time": "0.5"}


def _as_hex(character: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02X}" for byte in character[0].encode())


def _with_backslash(character: re.Match[str]) -> str:
    return f"\\{character[0]}" if character[0] in '"\\' else _as_hex(character)


#: All of them.
WRITERS = (as_nginx, as_apache, as_json)
