"""Sane: what a parsed line may be, column by column, as the documents promise."""

import re
import unicodedata
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import polars as pl

from kpi_app.feeds.access import MAX_REQUEST_TIME_US
from kpi_app.feeds.access_dimensions import DIMENSIONS
from kpi_app.feeds.access_formats import COMMON, FORMATS, JSON
from kpi_app.feeds.base import BY, REASONS, Reading
from tests.fuzz.tried import Value

_END_US = 253_402_300_800_000_000
_UNSAFE = {"Cc", "Cf", "Zl", "Zp", "Cs"}
_DEVICES = {"Desktop", "Mobile", "Tablet", "TV", "Bot", "Other", "(none)"}

#: Columns that every line has that is accepted, and all but JSON lines.
_ALWAYS = ("event_us", "format", "bytes", "visitor", "is_bot", "by_status")
_REQUEST = ("by_method", "by_path", "by_protocol", "by_client")

Row = dict[str, Any]


def sane(values: Sequence[Value], frame: pl.DataFrame, reading: Reading) -> None:
    """Raise `AssertionError` for the first line that is not, with the value that it comes from."""
    assert frame.height == len(values)
    for name, dtype in {"event_us": pl.Int64, "status": pl.Int16, "bytes": pl.Int64, "visitor": pl.UInt64}.items():
        assert frame.schema[name] == dtype, f"{name} is {frame.schema[name]}"
    for value, row in zip(values, frame.iter_rows(named=True), strict=True):
        try:
            _sane_row(row, reading)
        except AssertionError as wrong:
            raise AssertionError(f"{shown(value)}: {wrong}") from None


def _sane_row(row: Row, reading: Reading) -> None:
    if row["reason"] is not None:
        assert row["reason"] in {*REASONS} - {"future"}, row["reason"]
        left = {n for n, v in row.items() if v is not None and n.startswith((BY, "visitor", "is_bot", "event_us"))}
        assert not left, f"rejected, and has {left}"
        return
    always = _ALWAYS if row["format"] == JSON else _ALWAYS + _REQUEST
    missing = [name for name in always if row[name] is None]
    assert not missing, f"counted without {missing}"
    assert 0 <= row["event_us"] < _END_US, row["event_us"]
    assert row["status"] is None or 0 <= row["status"] <= 999, row["status"]
    assert 0 <= row["bytes"] < 10**13, row["bytes"]
    assert row["request_time_us"] is None or 0 <= row["request_time_us"] <= MAX_REQUEST_TIME_US
    assert row["format"] in FORMATS
    for name in DIMENSIONS:
        if row[f"{BY}{name}"] is not None:
            _safe(name, row[f"{BY}{name}"])
    _fits_together(row, reading)


def _safe(name: str, text: str) -> None:
    assert text, f"{name} is empty"
    assert len(text.encode()) <= 512, f"{name} has {len(text.encode())} bytes"
    assert not {unicodedata.category(c) for c in text} & _UNSAFE, f"{name} is {shown(text)}"
    assert text == "(none)" or not text.startswith("("), f"{name} is {shown(text)}, as if it were ours"


def _fits_together(row: Row, reading: Reading) -> None:
    by = {name: row[f"{BY}{name}"] for name in DIMENSIONS}
    assert by["status"] == ("(none)" if row["status"] is None else f"{row['status']:03}")
    assert row["is_bot"] == (by["bot"] not in (None, "(none)"))
    assert by["device"] is None or by["device"] in _DEVICES, by["device"]
    assert row["format"] in (COMMON, JSON) or (by["referrer"] and by["browser"]), "combined, without what that has"
    assert re.fullmatch(r"[A-Z][A-Z0-9_-]{0,19}|\(none\)", by["method"] or "(none)"), by["method"]
    assert re.fullmatch(r"HTTP/[0-9](\.[0-9])?|\(none\)", by["protocol"] or "(none)"), by["protocol"]
    assert not set(by["path"] or "") & set("?#"), by["path"]
    assert all(text == text.lower() for text in (by["host"], by["referrer"]) if text), "host or site not lower case"
    if reading.anonymise_ip and by["client"] not in (None, "(none)"):
        address = ip_address(by["client"])
        assert int(address) % (256 if address.version == 4 else 2**80) == 0, f"a client is shown: {address}"


def shown(value: object) -> str:
    """A value for a message: its beginning, with nothing in it that moves a cursor."""
    text = ascii(value)
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text):,} characters)"
