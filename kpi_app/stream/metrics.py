"""Every metric of a worker, once: its name, kind, unit and meaning, and how it is read.

What the state knows already is read from it when somebody asks, so that no number is kept twice. What only
happens (how long a step took) is told to `Metrics` by the step. Each worker has a registry of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import prometheus_client as prometheus
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from kpi_app.stream import readings
from kpi_app.stream.partition import Partition
from kpi_app.stream.readings import Read, Source, State

#: Upper bounds of the histograms, seconds: checkpoints take 10 to 30 ms, a slow broker or database seconds.
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Kind(StrEnum):
    """How a metric behaves, as Prometheus has it."""

    #: Only grows; starts anew with the process, or goes on where the state is durable.
    COUNTER = "counter"
    #: Goes up and down.
    GAUGE = "gauge"
    #: Counts of observations by upper bound, with their sum.
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric; `read` is None where a step tells it as it happens."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()
    read: Read | None = None


_PARTITION = ("partition",)

#: Every metric that we make. Those of the books are as of the last checkpoint and go on over restarts and moves of
#: a partition: their sum over all workers is what the topic's ledger says.
METRICS = (
    Metric(
        "kpi_partitions",
        Kind.GAUGE,
        "partitions",
        "Partitions of the raw topic.",
        read=readings.once(lambda state: state.partition_count),
    ),
    Metric(
        "kpi_partitions_owned",
        Kind.GAUGE,
        "partitions",
        "Partitions of the raw topic that this worker owns.",
        read=readings.once(lambda state: len(state.partitions)),
    ),
    Metric(
        "kpi_lag_records",
        Kind.GAUGE,
        "records",
        "Records of the raw topic that were not folded yet, as of the last look at its end.",
        _PARTITION,
        readings.of_partition(readings.lag),
    ),
    Metric(
        "kpi_pending_records",
        Kind.GAUGE,
        "records",
        "Segments and dead letters that the next checkpoint will write.",
        _PARTITION,
        readings.of_partition(lambda partition: partition.pending),
    ),
    Metric(
        "kpi_live_segments",
        Kind.GAUGE,
        "segments",
        "Segments in the state; it grows while the sink is away, since nothing is dropped then.",
        _PARTITION,
        readings.of_partition(lambda partition: len(partition.state.live)),
    ),
    Metric(
        "kpi_unflushed_records",
        Kind.GAUGE,
        "records",
        "Records that are checkpointed and not known to be in the sink.",
        _PARTITION,
        readings.of_partition(readings.unflushed),
    ),
    Metric(
        "kpi_watermark_timestamp_seconds",
        Kind.GAUGE,
        "seconds",
        "Greatest event time accepted, since the epoch; time() less this is how far event time is behind.",
        _PARTITION,
        readings.of_books(readings.watermark_s),
    ),
    Metric(
        "kpi_idle",
        Kind.GAUGE,
        "1 or 0",
        "1: connected, caught up, and nothing seen for KPI_IDLE_AFTER; the partition holds no window open.",
        _PARTITION,
        readings.idle,
    ),
    Metric(
        "kpi_lines_total",
        Kind.COUNTER,
        "lines",
        "Lines read, as of the last checkpoint.",
        _PARTITION,
        readings.of_books(lambda books: books.lines),
    ),
    Metric(
        "kpi_counted_total",
        Kind.COUNTER,
        "lines",
        "Of the lines read, those that count in a window.",
        _PARTITION,
        readings.of_books(lambda books: books.counted),
    ),
    Metric(
        "kpi_rejected_total",
        Kind.COUNTER,
        "lines",
        "Of the lines read, those that went to the dead letters.",
        _PARTITION,
        readings.of_books(lambda books: books.rejected),
    ),
    Metric(
        "kpi_late_dropped_total",
        Kind.COUNTER,
        "lines",
        "Of the lines read, those that were later than KPI_CORRECT_FOR allows.",
        _PARTITION,
        readings.of_books(lambda books: books.late_dropped),
    ),
    Metric(
        "kpi_duplicates_total",
        Kind.COUNTER,
        "lines",
        "Of the lines read, those sent twice before Kafka.",
        _PARTITION,
        readings.of_books(lambda books: books.duplicates),
    ),
    Metric(
        "kpi_lost_offsets_total",
        Kind.COUNTER,
        "records",
        "Offsets that were removed from the topic before they were read; not in the lines.",
        _PARTITION,
        readings.of_books(lambda books: books.lost_offsets),
    ),
    Metric(
        "kpi_dead_letters_total",
        Kind.COUNTER,
        "lines",
        "Lines rejected since this worker started, by reason.",
        ("reason",),
        readings.dead_letters,
    ),
    Metric(
        "kpi_late_total",
        Kind.COUNTER,
        "lines",
        "Late lines counted since this worker started.",
        read=readings.once(lambda state: state.late),
    ),
    Metric(
        "kpi_checkpoint_seconds",
        Kind.HISTOGRAM,
        "seconds",
        "What a checkpoint of a partition took, from its transaction's begin to its write of the table.",
    ),
    Metric(
        "kpi_pause_seconds",
        Kind.HISTOGRAM,
        "seconds",
        "How long this worker's partitions stood still at a rebalance, from their last checkpoint to their take-over.",
    ),
    Metric("kpi_flush_seconds", Kind.HISTOGRAM, "seconds", "What the flush of a checkpoint to the sink took."),
    Metric("kpi_merge_seconds", Kind.HISTOGRAM, "seconds", "What a merge of a bunch of windows in the sink took."),
    Metric(
        "kpi_sink_busy_total",
        Kind.COUNTER,
        "retries",
        "How often the sink could not take what it was given, by what was to be done.",
        ("step",),
    ),
)

_BY_NAME = {metric.name: metric for metric in METRICS}


class Metrics:
    """The metrics of one worker, in a registry of their own, together with those of its process."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self.registry)
        self.checkpoint_s = self._histogram("kpi_checkpoint_seconds")
        self.pause_s = self._histogram("kpi_pause_seconds")
        self.flush_s = self._histogram("kpi_flush_seconds")
        self.merge_s = self._histogram("kpi_merge_seconds")
        busy = _BY_NAME["kpi_sink_busy_total"]
        self.sink_busy = prometheus.Counter(busy.name, busy.meaning, busy.labels, registry=self.registry)

    def _histogram(self, name: str) -> prometheus.Histogram:
        metric = _BY_NAME[name]
        return prometheus.Histogram(name, metric.meaning, registry=self.registry, buckets=BUCKETS_S)

    def read_from(self, state: State, is_idle: Callable[[Partition, float], bool]) -> None:
        """Read the state's part from here from now on."""
        self.registry.register(_Reading(Source(state, is_idle)))

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """All of it in a text format of Prometheus, and that format's content type, as `Accept` prefers."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Reading:
    """Reads the state for the registry."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            if metric.read is not None:
                make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
                family = make(metric.name, metric.meaning, labels=metric.labels)
                for labels, value in metric.read(self._source):
                    family.add_metric(labels, value)
                yield family
