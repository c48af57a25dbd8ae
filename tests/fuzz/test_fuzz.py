"""A short run of what `make fuzz` does at length."""

from collections.abc import Callable

import polars as pl
import pytest

from kpi_app.feeds.envelope import MAX_LINE_BYTES, decode
from tests.fuzz.claims import CLAIMS, Batch, broken
from tests.fuzz.findings import told
from tests.fuzz.growth import too_slow
from tests.fuzz.seeds import corpus
from tests.fuzz.tried import MOST, Batches

CORPUS = corpus()

#: Batches, some half of `MOST` values each: a number, so that a slow machine tries as much as any.
BATCHES = 32
SEED = 20261123


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_seeds_as_they_are(claim: Callable[[Batch], None]) -> None:
    """What mutation begins with is counted, or rejected, as it should be."""
    claim(Batch([*CORPUS, None, b""]))


@pytest.mark.parametrize("number", range(BATCHES))
def test_fixed_batches(number: int) -> None:
    """The same ones each time: what held yesterday holds today; `make fuzz` looks for what is new."""
    values = Batches(SEED, CORPUS)[number]
    wrong = broken(values)
    again = f"python -m tests.fuzz --seed {SEED} --first {number}"
    assert wrong is None, told(wrong, values, again)


def test_time_is_linear_in_the_length_of_a_line() -> None:
    """One line takes as long as eight of an eighth of its length, and not eight times as long, as square time would."""
    assert too_slow() == {}


def test_square_time_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any length, by any reader."""

    def squarely(values: list[bytes], look: str) -> pl.DataFrame:
        for value in values:
            sum(range(len(value) ** 2 // 3_000))
        return decode(values, look)

    monkeypatch.setattr("tests.fuzz.growth.decode", squarely)
    assert list(too_slow(["bytes"])) == ["bytes"]


def test_a_seed_and_a_number_make_the_same_batch() -> None:
    """Or a finding could not be found again; and other numbers make others."""
    first, other = (Batches(7, CORPUS) for _ in range(2))
    assert first[3] == other[3]
    assert first[3] != first[4] != Batches(8, CORPUS)[4]


def test_batches_hold_what_they_should() -> None:
    """Many values are still counted, some are rejected, each for one of all reasons; some are long, some are none."""
    values = [value for number in range(5) for value in Batches(1, CORPUS)[number]]
    rows = Batch(values).rows
    reasons = {row["reason"] for row in rows}
    assert reasons == {None, "format", "time", "encoding", "oversize", "json"}
    assert {row["format"] for row in rows if row["reason"] is None} == {"common", "combined", "combined_xff", "json"}
    assert 0.1 < sum(row["reason"] is None for row in rows) / len(rows) < 0.9
    assert None in values
    assert max(len(value or b"") for value in values) > MAX_LINE_BYTES
    assert len(values) > MOST
