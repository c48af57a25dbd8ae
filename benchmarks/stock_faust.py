"""For comparison: the per-message agent that faust's documentation would have one write, counting by status.

`faust -A stock_faust worker`, with the settings of `throughput.py` in the environment. Not exact after a crash.
"""

import json
import os
import re
import time

import faust

LINES = int(os.environ["BENCH_LINES"])
STATUS = re.compile(r'" ([0-9]{3}) ')

app = faust.App(
    f"stock-{os.environ['BENCH_TOPIC']}",
    broker=f"kafka://{os.environ['KPI_BROKERS']}",
    store="rocksdb://",
    datadir=os.environ["BENCH_DIRECTORY"],
    topic_partitions=int(os.environ["BENCH_PARTITIONS"]),
    topic_replication_factor=1,
    value_serializer="raw",
    consumer_auto_offset_reset="earliest",
)
source = app.topic(os.environ["BENCH_TOPIC"], value_serializer="raw")
by_status = app.Table("by_status", default=int, options={"driver": "rocksdict"})
seen: list[float] = []


@app.agent(source)
async def count(stream: faust.StreamT) -> None:
    async for value in stream:
        status = STATUS.search(json.loads(value)["log"])
        by_status[status[1] if status else "none"] += 1
        seen.append(time.perf_counter())
        if len(seen) == LINES:
            print(f"RATE {(LINES - 1) / (seen[-1] - seen[0]):.0f}", flush=True)
