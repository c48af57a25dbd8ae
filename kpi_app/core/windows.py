"""Tumbling windows: `[start, start + size)`, aligned to the epoch, in UTC."""

import re
from datetime import UTC, datetime, timedelta

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,10})\s*([smhdw])")

US_PER_S = 1_000_000

#: A hundred years: added to any event time, in microseconds, it is still far from the end of an int64.
MAX_DURATION_S = 36_500 * 86_400


def parse_duration(text: str) -> int:
    """Seconds in a duration such as `90s`, `1m`, `2h`, `7d` or `1w`.

    Raises `ValueError` for anything else, and for more than `MAX_DURATION_S`.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 30s, 1m, 2h or 7d")
    seconds = int(match[1]) * _UNITS_S[match[2]]
    if seconds > MAX_DURATION_S:
        raise ValueError(f"{text!r} is longer than {format_duration(MAX_DURATION_S)}")
    return seconds


def format_duration(seconds: int) -> str:
    """A short text, without weeks, that `parse_duration` reads back as the same seconds."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS_S[unit] == 0:
            return f"{seconds // _UNITS_S[unit]}{unit}"
    return f"{seconds}s"


def window_start(event_s: int, size_s: int) -> int:
    """The start, in epoch seconds, of the window of `size_s` that holds `event_s`."""
    return event_s - event_s % size_s


def utc(epoch_s: float) -> datetime:
    """Epoch seconds as a timezone-aware time."""
    return datetime.fromtimestamp(epoch_s, UTC)


def utc_us(epoch_us: int) -> datetime:
    """Epoch microseconds as a timezone-aware time, to the microsecond; the year must be 1 to 9999."""
    return utc(0) + timedelta(microseconds=epoch_us)
