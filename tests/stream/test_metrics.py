"""Metrics: all of them listed, read from the state, and never counted back."""

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kpi_app.stream.metrics import METRICS, Kind, Metrics
from tests.web.worker import T0, Owned, Partition, line


def read(owned: Owned, metrics: Metrics | None = None) -> dict[str, Any]:
    """Samples as Prometheus reads them, by name and labels: `kpi_lines_total{partition=0}`."""
    metrics = metrics or Metrics()
    metrics.read_from(owned, lambda partition, now_s: partition.state.ledger.lines == 0)
    samples = {}
    for family in text_string_to_metric_families(metrics.render()[0].decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            samples[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return samples


def test_names_follow_prometheus() -> None:
    """Prefixed, in base units, counters ending in `_total`, each listed once."""
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"kpi_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.name.endswith("_seconds") == (metric.unit == "seconds")
        assert metric.meaning.endswith(".")


def test_what_is_shown_is_what_is_listed() -> None:
    """Every metric of the list can be scraped, with its kind and meaning, and no other of ours."""
    owned = Owned({0: Partition().read(line(0)).checkpoint().seen(delivered=1, position=1, end=1)})
    owned.dead_letters["format"] += 1
    metrics = Metrics()
    metrics.sink_busy.labels("flush").inc()
    metrics.read_from(owned, lambda partition, now_s: False)
    families = {
        family.name: family
        for family in text_string_to_metric_families(metrics.render()[0].decode())
        if family.name.startswith("kpi_") and not family.name.endswith("_created")
    }
    assert families.keys() == {metric.name.removesuffix("_total") for metric in METRICS}
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.meaning)
        assert family.samples


def test_two_workers_in_a_process_share_nothing() -> None:
    """Each has a registry of its own."""
    one, other = Metrics(), Metrics()
    one.checkpoint_s.observe(0.02)
    assert read(Owned(), one)["kpi_checkpoint_seconds_count"] == 1
    assert read(Owned(), other)["kpi_checkpoint_seconds_count"] == 0


def test_books_are_those_of_the_last_checkpoint() -> None:
    """Lines since then would be counted back if the worker died, and a counter must never go back."""
    partition = Partition().read(line(0), line(1), b"junk").checkpoint().read(line(2))
    samples = read(Owned({7: partition}))
    assert samples["kpi_lines_total{partition=7}"] == 3
    assert samples["kpi_counted_total{partition=7}"] == 2
    assert samples["kpi_rejected_total{partition=7}"] == 1
    assert samples["kpi_late_dropped_total{partition=7}"] == 0
    assert samples["kpi_duplicates_total{partition=7}"] == 0
    assert samples["kpi_lost_offsets_total{partition=7}"] == 0
    assert samples["kpi_watermark_timestamp_seconds{partition=7}"] == T0 + 1
    assert samples["kpi_pending_records{partition=7}"] == 1
    assert samples["kpi_live_segments{partition=7}"] == 1
    assert samples["kpi_unflushed_records{partition=7}"] == 3


def test_a_partition_without_events_has_no_watermark() -> None:
    """1970 would look like a delay of decades."""
    samples = read(Owned({0: Partition()}))
    assert "kpi_watermark_timestamp_seconds{partition=0}" not in samples
    assert samples["kpi_lines_total{partition=0}"] == 0
    assert samples["kpi_idle{partition=0}"] == 1


def test_a_partition_that_is_given_up_is_gone() -> None:
    """Its new owner shows it; two at once would count it twice."""
    owned = Owned({0: Partition(), 1: Partition()})
    metrics = Metrics()
    assert read(owned, metrics)["kpi_partitions_owned"] == 2
    owned.partitions.clear()
    samples = {line.split(" ")[0] for line in metrics.render()[0].decode().splitlines()}
    assert 'kpi_lines_total{partition="0"}' not in samples


@pytest.mark.parametrize(
    ("folded", "delivered", "position", "end", "lag"),
    [
        pytest.param(3, 3, 3, 3, 0, id="caught up"),
        pytest.param(3, 3, 3, 10, 7, id="behind"),
        pytest.param(3, 8, 8, 10, 7, id="fetched is not folded"),
        pytest.param(3, 3, 4, 4, 0, id="a transaction's marker at the end is no record"),
        pytest.param(3, 3, 5, 10, 5, id="markers that were passed are no records"),
        pytest.param(3, 0, 0, 2, 0, id="folded since the look at the end"),
    ],
)
def test_lag_is_what_is_not_folded(folded: int, delivered: int, position: int, end: int, lag: int) -> None:
    """Records from the next one to fold to the end."""
    partition = (
        Partition().read(*(line(i) for i in range(folded))).seen(delivered=delivered, position=position, end=end)
    )
    assert read(Owned({0: partition}))["kpi_lag_records{partition=0}"] == lag


def test_lag_is_unknown_before_the_first_look() -> None:
    """No sample, rather than a 0 that says that all is well."""
    assert "kpi_lag_records{partition=0}" not in read(Owned({0: Partition()}))


def test_what_happened_since_the_start() -> None:
    """Dead letters by reason, late lines, and the sink's refusals."""
    owned = Owned(late=5)
    owned.dead_letters.update(format=2, time=1)
    metrics = Metrics()
    metrics.sink_busy.labels("flush").inc()
    samples = read(owned, metrics)
    assert samples["kpi_dead_letters_total{reason=format}"] == 2
    assert samples["kpi_dead_letters_total{reason=time}"] == 1
    assert samples["kpi_late_total"] == 5
    assert samples["kpi_sink_busy_total{step=flush}"] == 1
