"""Claims: what holds for any batch of values whatever, each with a name that a finding goes by.

A claim raises `AssertionError` with what is wrong; anything else that is raised is wrong by itself.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from ipaddress import ip_network
from random import Random
from typing import NamedTuple

import polars as pl
from faust.types import TP

from kpi_app.core.fold import TimeRules, fold
from kpi_app.core.seen import File, Places
from kpi_app.core.segment import Segment, absorb, empty
from kpi_app.core.segment import decode as decode_segment
from kpi_app.core.segment import encode as encode_segment
from kpi_app.feeds.access import ACCESS
from kpi_app.feeds.access_fields import tell_apart
from kpi_app.feeds.access_formats import FORMATS
from kpi_app.feeds.addresses import client_of
from kpi_app.feeds.base import REASONS, Reading
from kpi_app.feeds.envelope import MAX_LINE_BYTES, decode, decode_placed, read
from kpi_app.feeds.values import clean
from kpi_app.sources.records import encode as encode_records
from kpi_app.sources.tail import Block
from kpi_app.stream.deadletters import KEPT_BYTES, DeadLetter
from tests import recount
from tests.fuzz.sane import Row, sane, shown
from tests.fuzz.seeds import wrapped
from tests.fuzz.servers import SENT, WRITERS
from tests.fuzz.tried import Value

DEFAULT = Reading()
TRUSTING = Reading(trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("192.0.2.0/24")), anonymise_ip=False)
RULES = TimeRules(window_s=60, grace_s=60, future_limit_s=60, correct_for_s=3_600)

#: The longest value that the recount is asked about: its regular expressions go back and forth, and its JSON ends at
#: another depth.
LONGEST_RECOUNTED = 1_500

_ADDRESS = re.compile(rb"(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]+(?![0-9.])")
_READ_AT = datetime(2026, 11, 22, 11, 4, 14, 479655, UTC)


class Broken(NamedTuple):
    """A claim that does not hold, and how."""

    claim: str
    how: str


class Batch:
    """Values, what is made of them, and choices that the same values always get."""

    def __init__(self, values: Sequence[Value]) -> None:
        self.values = values

    @property
    def random(self) -> Random:
        """The same numbers each time it is asked for."""
        return Random(len(self.values))  # noqa: S311  no secret

    @cached_property
    def lines(self) -> pl.DataFrame:
        """What `decode` gives."""
        return decode(self.values)

    @cached_property
    def parsed(self) -> pl.DataFrame:
        """What `parse` gives, by default settings."""
        return ACCESS.parse(self.lines, DEFAULT)

    @cached_property
    def rows(self) -> list[Row]:
        """The same, line by line."""
        return self.parsed.to_dicts()


def parsed(values: Sequence[Value], reading: Reading = DEFAULT) -> list[Row]:
    """What becomes of values, one by one."""
    return ACCESS.parse(decode(values), reading).to_dicts()


def columns_mean_what_reading_means(batch: Batch) -> None:
    """What `decode` gives for a batch is what `read` gives for each value."""
    for value, fast, slow in zip(batch.values, batch.lines.rows(), map(read, batch.values), strict=True):
        assert fast == slow, f"{shown(value)}: decode {shown(fast)}, read {shown(slow)}"


def a_look_finds_what_care_finds(batch: Batch) -> None:
    """Lines and places are the same whether envelopes are told apart in one look or read one by one."""
    (lines, looked), (_, careful) = decode_placed(batch.values, ACCESS.look), decode_placed(batch.values)
    for value, fast, slow in zip(batch.values, ACCESS.parse(lines, DEFAULT).to_dicts(), batch.rows, strict=True):
        differ = {name: (fast[name], slow[name]) for name in slow if fast[name] != slow[name]}
        assert not differ, f"{shown(value)}: with a look and without it {shown(differ)}"
    for value, here, there in zip(batch.values, _places(looked, len(lines)), _places(careful, len(lines)), strict=True):
        assert here == there, f"{shown(value)}: from {shown(here)} with a look, from {shown(there)} without it"


def _places(places: Places | None, lines: int) -> list[tuple[File, int, int] | None]:
    if places is None:
        return [None] * lines
    return [None if file is None else (places.files[file], start, end) for file, start, end in places.lines.rows()]


def lines_are_counted_or_have_a_reason(batch: Batch) -> None:
    """Types, ranges and texts of every column are those that the documents promise."""
    sane(batch.values, batch.parsed, DEFAULT)


def every_reading_gives_sane_lines(batch: Batch) -> None:
    """The same with proxies trusted and addresses kept; clients are those that a look at one line's hops finds."""
    frame = ACCESS.parse(batch.lines, TRUSTING)
    sane(batch.values, frame, TRUSTING)
    told = tell_apart(batch.lines).select("client", "xff").rows()
    for value, reason, found, (peer, xff) in zip(batch.values, frame["reason"], frame["by_client"], told, strict=True):
        if reason is None and peer is not None:
            expected = clean(client_of(peer, xff, TRUSTING.trusted_proxies))
            assert found == expected, f"{shown(value)}: client {shown(found)}, by its hops {shown(expected)}"


def company_changes_nothing(batch: Batch) -> None:
    """A line alone, and in any other batch, is what it is here."""
    order = list(range(len(batch.values)))
    random = batch.random
    alone = [[place] for place in random.sample(order, min(4, len(order)))]
    random.shuffle(order)
    border = random.randint(0, len(order))
    for places in (*alone, order[:border], order[border:]):
        others = parsed([batch.values[place] for place in places])
        for place, row in zip(places, others, strict=True):
            differ = {name for name in row if row[name] != batch.rows[place][name]}
            assert not differ, f"{shown(batch.values[place])}: {sorted(differ)} depend on its neighbours"


def naming_a_format_only_rejects(batch: Batch) -> None:
    """With a format named, its lines stay as they are, and all others are of the reason `format`."""
    name = batch.random.choice(FORMATS)
    for value, auto, named in zip(
        batch.values, batch.rows, ACCESS.parse(batch.lines, Reading(name)).to_dicts(), strict=True
    ):
        if auto["format"] == name or batch_reason(auto) not in (None, "time", "format"):
            assert named == auto, f"{shown(value)}: differs as {name}"
        else:
            assert named["reason"] == "format", f"{shown(value)}: {named['reason']} as {name}"
            assert (named["event_us"], named["visitor"]) == (None, None), f"{shown(value)}: is read as {name}"


def batch_reason(row: Row) -> str | None:
    """Why a line was rejected."""
    reason: str | None = row["reason"]
    return reason


def a_plain_reader_agrees(batch: Batch) -> None:
    """An independent, slow reading of each value finds the same time, status, size, format or reason."""
    for value, row in zip(batch.values, batch.rows, strict=True):
        if value is not None and LONGEST_RECOUNTED < len(value) <= MAX_LINE_BYTES:
            continue
        ours = row["reason"] or (row["event_us"], row["status"], row["bytes"], row["format"])
        assert ours == (theirs := _recounted(value)), f"{shown(value)}: {ours}, by the recount {theirs}"


def an_envelope_changes_nothing(batch: Batch) -> None:
    """A line in an envelope, however that is written, is the line; for bare objects there is another rule."""
    bare = [text for text in batch.lines["line"].drop_nulls() if not text.startswith("{")]
    put_in = [wrapped(line, kind) for kind, line in enumerate(bare)]
    # escapes make a value longer, which may then be too long
    fits = [n for n, value in enumerate(put_in) if len(value) <= MAX_LINE_BYTES]
    outside, inside = parsed([bare[n].encode() for n in fits]), parsed([put_in[n] for n in fits])
    for n, one, other in zip(fits, outside, inside, strict=True):
        assert one == other, f"{shown(bare[n])}: differs in an envelope"


def texts_stay_in_their_fields(batch: Batch) -> None:
    """What a stranger sends, as servers write it, is in its own field, and all others are what the server says."""
    random = batch.random
    sent = [value.decode("utf-8", "replace")[:600] for value in batch.values if value]
    fields = [dict(zip(SENT, random.choices([*sent, ""], k=len(SENT)), strict=True)) for _ in sent[:100]]
    for write in WRITERS:
        written = [write(texts) for texts in fields]
        found = tell_apart(pl.DataFrame({"line": [line for line, _ in written]}, {"line": pl.String})).to_dicts()
        for (line, expected), row in zip(written, found, strict=True):
            differ = {name: row[name] for name in expected if row[name] != expected[name]}
            assert not differ, f"{write.__name__} {shown(line)}: {shown(differ)}"


def shipped_lines_arrive(batch: Batch) -> None:
    """What `kpi ship` makes of any bytes of a line is read as this line, or is too long."""
    lines = [line for value in batch.values if value is not None for line in value.split(b"\n")][:200]
    block = Block(0, lines, sum(map(len, lines)) + len(lines), 0)
    records = list(encode_records(block, '/var/log/é"\\.log', _READ_AT))
    for line, record, (text, reason) in zip(lines, records, decode(records).rows(), strict=True):
        assert len(record) < 1_000_000, f"{shown(line)}: a record of {len(record)} bytes"
        expected = line.decode("utf-8", "replace").removesuffix("\r")
        too_long = len(record) > MAX_LINE_BYTES
        assert reason == ("oversize" if too_long else None), f"{shown(line)}: {reason}"
        assert too_long or text == expected, f"{shown(line)}: arrives as {shown(text)}"


def the_books_balance(batch: Batch) -> None:
    """Every line is counted, rejected or dropped, in whatever batches it is folded; segments survive being stored."""
    whole, split = _folded(batch.parsed, []), _folded(batch.parsed, [batch.random.randint(0, len(batch.values))])
    assert whole == split, f"batches matter: {shown(whole)}, {shown(split)}"
    rows, rejected, dropped = whole
    counted = sum(row["requests"] for row in rows.values())
    assert counted + len(rejected) + dropped == len(batch.values), "a line is lost or counted twice"
    assert {reason for _, reason in rejected} <= set(REASONS)


def dead_letters_can_be_written(batch: Batch) -> None:
    """The letter of any value is bounded JSON text, and has no full address unless it may."""
    for value, row in zip(batch.values, batch.rows, strict=True):
        for anonymise in (True, False):
            letter = DeadLetter.of(TP("t", 0), 0, None, row["reason"] or "format", value, anonymise)
            kept = letter.kept or b""
            assert len(kept) <= KEPT_BYTES
            full = [address for address in _ADDRESS.findall(kept) if not address.endswith(b".0")] if anonymise else []
            assert not full, f"{shown(value)}: {shown(full)} is kept"
            assert len(letter.encode()) <= 6 * KEPT_BYTES + 500


CLAIMS: tuple[Callable[[Batch], None], ...] = (
    columns_mean_what_reading_means,
    a_look_finds_what_care_finds,
    lines_are_counted_or_have_a_reason,
    every_reading_gives_sane_lines,
    company_changes_nothing,
    naming_a_format_only_rejects,
    a_plain_reader_agrees,
    an_envelope_changes_nothing,
    texts_stay_in_their_fields,
    shipped_lines_arrive,
    the_books_balance,
    dead_letters_can_be_written,
)


def broken(values: Sequence[Value], claims: Iterable[Callable[[Batch], None]] = CLAIMS) -> Broken | None:
    """Give the first claim that does not hold for these values; None where all do."""
    batch = Batch(values)
    for claim in claims:
        try:
            claim(batch)
        except AssertionError as wrong:
            return Broken(claim.__name__, str(wrong))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as raised:  # a panic of polars' is no Exception
            return Broken(claim.__name__, f"raises {type(raised).__name__}: {raised}")
    return None


def _recounted(value: Value) -> str | tuple[int, int | None, int, str]:
    try:
        event, status, size, name = recount.read(value)
    except recount.Rejected as rejected:
        return str(rejected)
    event_us = (event - recount.EPOCH) // recount.timedelta(microseconds=1)
    return event_us, None if status == "-" else int(status), size, name


def _folded(frame: pl.DataFrame, borders: list[int]) -> tuple[dict[int, Row], list[tuple[int, str]], int]:
    """The rows of the windows, rejected offsets and lines dropped; visitors, an estimate, aside."""
    frame = frame.with_columns(
        offset=pl.int_range(frame.height, dtype=pl.Int64), record_ms=pl.lit(1_684_852_200_000, dtype=pl.Int64)
    )
    windows: dict[int, Segment] = {}
    rejected: list[tuple[int, str]] = []
    dropped, watermark_us = 0, None
    for start, end in zip([0, *borders], [*borders, frame.height], strict=True):
        if start == end:
            continue
        run = fold(frame[start:end], watermark_us, RULES, ACCESS.measures)
        watermark_us, dropped = run.watermark_us, dropped + run.late_dropped
        rejected += run.rejected
        for key, part in run.parts.items():
            absorb(windows.setdefault(key.window_start_s, empty(ACCESS.measures)), part, ACCESS.measures)
    stored = {
        start: decode_segment(encode_segment(kept, ACCESS.measures), ACCESS.measures) for start, kept in windows.items()
    }
    return {start: _row(kept) for start, kept in sorted(stored.items())}, rejected, dropped


def _row(kept: Segment) -> Row:
    row = ACCESS.row(kept.values, RULES.window_s)
    return {name: value for name, value in row.items() if name != "unique_visitors"}
