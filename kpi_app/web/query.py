"""Parameters of a query, checked. What is wrong with one is said in a line that names it."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from aiohttp import web

from kpi_app.web.answers import AskDifferently

#: Characters of a wrong value that its error repeats.
_SHOWN = 60

#: A zone's plus sign that the query turned into a space.
_LOST_PLUS = re.compile(r" (?=\d\d:?\d\d$)")


def only(request: web.Request, names: Collection[str]) -> Mapping[str, str]:
    """The request's parameters by name. Raises `AskDifferently` for one that is not among `names`, or comes twice."""
    query = request.query
    for name in query:
        if name not in names:
            raise AskDifferently(f"unknown parameter {_show(name)}; there are: {', '.join(names)}")
        if len(query.getall(name)) > 1:
            raise AskDifferently(f"parameter {name} is there more than once")
    return dict(query.items())


def whole(query: Mapping[str, str], name: str, default: int, at_most: int) -> int:
    """A whole number from 1 to `at_most`."""
    text = query.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= at_most:
        raise _wrong(name, text, f"a whole number from 1 to {at_most}")
    return int(text)


def one_of(query: Mapping[str, str], name: str, choices: Collection[int]) -> int:
    """One of some whole numbers, by default the first."""
    text = query.get(name)
    if text is None:
        return next(iter(choices))
    for choice in choices:
        if text == str(choice):
            return choice
    raise _wrong(name, text, f"one of: {', '.join(map(str, choices))}")


def time(query: Mapping[str, str], name: str) -> datetime | None:
    """A time in ISO 8601 with its zone, as UTC; None where it was not given."""
    text = query.get(name)
    if text is None:
        return None
    told = _iso(text)
    if told is None or told.tzinfo is None:
        raise _wrong(name, text, "an ISO 8601 time with its zone, such as 2026-01-31T08:00:00Z")
    return told


def date_or_time(query: Mapping[str, str], name: str) -> str | None:
    """A date or a time in ISO 8601, in UTC where it says its zone, else as it is; None where it was not given."""
    text = query.get(name)
    if text is None:
        return None
    told = _iso(text)
    if told is None:
        raise _wrong(name, text, "a date or time in ISO 8601, such as 2026-01-31 or 2026-01-31T08:00:00Z")
    return _LOST_PLUS.sub("+", text) if told.tzinfo is None else told.isoformat()


def _iso(text: str) -> datetime | None:
    """The date or time, in UTC where it says its zone; None for what is none."""
    try:
        told = datetime.fromisoformat(_LOST_PLUS.sub("+", text))
        return told if told.tzinfo is None else told.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _wrong(name: str, text: str, right: str) -> AskDifferently:
    return AskDifferently(f"{name}={_show(text)} is not {right}")


def _show(text: str) -> str:
    return ascii(text[:_SHOWN] + ("…" if len(text) > _SHOWN else ""))
