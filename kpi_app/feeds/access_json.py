r"""JSON lines: what nginx writes with `log_format … escape=json`, by the names of its variables.

    {"time_iso8601":"2023-05-23T14:21:08+00:00","remote_addr":"192.0.2.7","request":"GET /x HTTP/1.1",
     "status":"200","body_bytes_sent":5120,"http_referer":"","http_user_agent":"Mozilla/5.0 …",
     "http_x_forwarded_for":"","request_time":0.123,"host":"example.org"}

Numbers may stand in quotes or not. A line has a time, a status, and a client or a request; all else may be missing. Of
several names for the same the first one in `NAMES` counts; of two equal names in one line, the last.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from kpi_app.feeds.access_formats import JSON, TIME

#: Names that a field goes by.
NAMES = {
    "client": ("remote_addr",),
    "time": ("time_iso8601", "time_local", "msec", "time", "timestamp", "@timestamp"),
    "request": ("request",),
    "status": ("status",),
    "bytes": ("body_bytes_sent", "bytes_sent"),
    "referrer": ("http_referer",),
    "agent": ("http_user_agent",),
    "xff": ("http_x_forwarded_for",),
    "method": ("request_method",),
    "target": ("request_uri", "uri"),
    "protocol": ("server_protocol",),
    "host": ("host", "http_host", "server_name"),
    "request_time": ("request_time",),
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLF_TIME = re.compile(TIME)
_ISO_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9])(?:\.([0-9]{1,9}))?(Z|[-+][0-9]{2}:?[0-5][0-9])"
)
_UNIX_TIME = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,9}))?")
_STATUS = re.compile("[0-9]{3}|-")
_SIZE = re.compile("[0-9]{1,13}|-")

#: Fields, format and time of a line, in the order of `access_fields.SCHEMA`.
Row = tuple[str | int | None, ...]
_NOT_TOLD: Row = (None,) * (len(NAMES) + 2)


def is_line(found: object) -> bool:
    """Whether a JSON value is meant to be an access line, good or not: other programs' logs have no status."""
    return isinstance(found, dict) and "status" in found


def read_json(line: str) -> Row:
    """Tell the fields of one line apart; all None where that can't be done."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _NOT_TOLD
    if not isinstance(found, dict):
        return _NOT_TOLD
    fields = {field: _text(found, names) for field, names in NAMES.items()}
    status, size = fields["status"] or "-", fields["bytes"] or "-"
    asks = any(fields[field] is not None for field in ("client", "request", "target"))
    told = fields["time"] is not None and fields["status"] is not None and asks
    if not told or not _STATUS.fullmatch(status) or not _SIZE.fullmatch(size):
        return _NOT_TOLD
    # a time of the combined format is read with those of all other lines; an empty text is no time at all
    clf, event_us = _time(fields["time"] or "")
    return (*{**fields, "time": clf, "status": status, "bytes": size}.values(), JSON, event_us)


def _text(found: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """Give the first of these that there is, as text; None where it is neither text nor a number."""
    value = next((found[name] for name in names if found.get(name) is not None), None)
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _time(text: str) -> tuple[str, int | None]:
    """Give a time as the text of the combined format, or as microseconds since the epoch; an empty text for neither."""
    if _CLF_TIME.fullmatch(text):
        return text, None
    if unix := _UNIX_TIME.fullmatch(text):
        return "", int(unix[1]) * 1_000_000 + _micros(unix[2])
    iso = _ISO_TIME.fullmatch(text)
    if iso is None:
        return "", None
    try:
        event = datetime.fromisoformat(iso[1] + iso[3])
    except ValueError:  # no such time
        return "", None
    return "", (event - _EPOCH) // timedelta(microseconds=1) + _micros(iso[2])


def _micros(fraction: str | None) -> int:
    return int((fraction or "0")[:6].ljust(6, "0"))
