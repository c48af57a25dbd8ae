"""Lines at a rate, in a thread of their own; it knows what the broker has acknowledged."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from random import Random

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as Client

from tests.exactness.lines import STATUSES, WINDOW_S, Record, Source

_TICK_S = 0.05
_ASK_S = 0.2

#: After how long without an answer a client is given up: librdkafka may lose its only broker for good when that is
#: away while it asks for the cluster. No fault keeps the broker away for so long.
SILENT_S = 30.0


class Lines(Source):
    """The lines of the exactness tests in the shares of a log, with lists that overflow and some that do not.

    Clients: 150 networks, so that there are others. Paths: some hundred, and thousands in one minute of four, more
    than a list keeps. All else: few.
    """

    late, future, unreadable, again = 0.0004, 0.005, 0.01, 0.002

    def _request(self, pick: Random) -> tuple[str, int, int, str]:
        paths = 3_000 if self._now_s % 240 >= 180 else 300
        client = f"198.18.{pick.randrange(150)}.{pick.randrange(1, 6)}"
        return client, pick.choice(STATUSES), pick.randrange(5_000), str(pick.randrange(1 + pick.randrange(paths)))


class Producer(threading.Thread):
    """Sends lines until `finish`. `speed`: seconds of event time in a second."""

    def __init__(self, brokers: str, topic: str, source: Source, rate: float, speed: float) -> None:
        super().__init__(name="producer", daemon=True)
        self._topic = topic
        self._source = source
        self._rate = rate
        self._speed = speed
        self._enough = threading.Event()
        self._config = {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,  # with it acks=all
            "acks": "all",
            "message.timeout.ms": 0,  # a broker that is away is waited for
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 1 << 20,
            "linger.ms": 20,
            "reconnect.backoff.max.ms": 1_000,
            "log_level": 2,
        }
        self._client = Client(self._config)
        #: Lines handed over, and those that the broker neither acknowledged nor refused when its client gave up.
        self.sent = self.unknown = 0
        #: Acknowledged, by partition; and the offset behind the last of them.
        self.acknowledged: Counter[int] = Counter()
        self._ends: dict[int, int] = {}
        #: When the broker last answered, or had nothing to answer (monotonic seconds).
        self._heard_s = time.monotonic()
        self.error: BaseException | None = None

    @property
    def ends(self) -> Mapping[int, int]:
        """The offset behind the last line that was acknowledged, by partition."""
        return dict(self._ends)

    def finish(self) -> None:
        """Send no more; returns when the broker has it all. Raises what went wrong in the thread."""
        self._enough.set()
        self.join()
        if self.error:
            raise self.error

    def run(self) -> None:
        """Send, and go on where a client of Kafka does not."""
        try:
            began_s = time.monotonic()
            while not self._enough.wait(_TICK_S):
                self._send_due(int((time.monotonic() - began_s) * self._rate) - self.sent)
            self._flush()
        except BaseException as error:
            self.error = error

    def send(self, records: Iterable[Record]) -> None:
        """Send these, too; only once finished. Returns when the broker has them."""
        for record in records:
            self._hand_over(record)
        self._flush()

    def _flush(self) -> None:
        while self._client.flush(_ASK_S):
            self._replace_where_silent()

    def _send_due(self, count: int) -> None:
        partitions = self._source.partitions
        per_partition = -(-count // partitions)
        if per_partition <= 0:
            return
        event_s = count / self._rate * self._speed
        for record in self._source.lot(per_partition, event_s / WINDOW_S):
            self._hand_over(record)
        self._client.poll(0)
        self._replace_where_silent()

    def _hand_over(self, record: Record) -> None:
        while True:
            try:
                self._client.produce(
                    self._topic,
                    value=record.value,
                    key=b"" if record.value is None else None,
                    partition=record.partition,
                    timestamp=record.timestamp_ms,
                    on_delivery=self._delivered,
                )
            except BufferError:
                self._client.poll(_ASK_S)
                self._replace_where_silent()
            except KafkaException as error:
                if error.args[0].code() != KafkaError._FATAL:
                    raise
                self._replace()
            else:
                self.sent += 1
                return

    def _replace_where_silent(self) -> None:
        if not len(self._client):
            self._heard_s = time.monotonic()
        elif time.monotonic() - self._heard_s > SILENT_S:
            self._replace()

    def _replace(self) -> None:
        """After a fatal error an idempotent client is at its end: what it still had may be in the log or not."""
        self._heard_s = time.monotonic()
        self.unknown += len(self._client)
        with suppress(KafkaException):
            self._client.purge()
        self._client = Client(self._config)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        self._heard_s = time.monotonic()
        if error is not None:
            self.unknown += 1
            return
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        self.acknowledged[partition] += 1
        self._ends[partition] = max(self._ends.get(partition, 0), offset + 1)
