"""For comparison: a plain script over confluent-kafka that counts by minute and status, with json, re and strptime.

It keeps its counts in memory only: no state, no rows, nothing exact after a crash.
"""

import json
import os
import re
import time
from collections import Counter
from datetime import datetime

from confluent_kafka import Consumer

LINE = re.compile(r'\S+ \S+ \S+ \[([^\]]+)\] "[^"]*" ([0-9]{3}) ')
LINES = int(os.environ["BENCH_LINES"])


def _key(found: re.Match[str] | None) -> tuple[datetime | None, str]:
    try:
        at = datetime.strptime(found[1], "%d/%b/%Y:%H:%M:%S %z") if found else None
    except ValueError:
        return None, "unreadable"
    return at and at.replace(second=0), found[2] if found else "unreadable"


def main() -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KPI_BROKERS"],
            "group.id": f"plain-{os.getpid()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([os.environ["BENCH_TOPIC"]])
    counts: Counter[tuple[datetime | None, str]] = Counter()
    seen, first = 0, 0.0
    while seen < LINES:
        for message in consumer.consume(1_000, timeout=1.0):
            first = first or time.perf_counter()
            found = LINE.match(json.loads(message.value())["log"])
            counts[_key(found)] += 1
            seen += 1
    print(f"RATE {seen / (time.perf_counter() - first):.0f}", flush=True)
    consumer.close()


if __name__ == "__main__":
    main()
