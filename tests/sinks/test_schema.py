"""The sum of the migrations is the schema that people and queries rely on."""

from datetime import date

import pytest

from kpi_app.feeds.access import ACCESS
from kpi_app.sinks import queries
from tests.sinks.owner import TOPIC, Owner
from tests.sinks.store import Store, at, settle

#: What users of the tables rely on; a later version may add to it.
COLUMNS = {
    "access_kpi": {
        "window_start": "timestamp with time zone",
        "window_seconds": "integer",
        "requests": "bigint",
        "requests_per_second": "double precision",
        "peak_requests_per_second": "bigint",
        "bytes_sent": "bigint",
        "status_1xx": "bigint",
        "status_2xx": "bigint",
        "status_3xx": "bigint",
        "status_4xx": "bigint",
        "status_5xx": "bigint",
        "status_other": "bigint",
        "unique_visitors": "bigint",
        "bot_requests": "bigint",
        "request_time_mean": "double precision",
        "request_time_p50": "double precision",
        "request_time_p90": "double precision",
        "request_time_p95": "double precision",
        "request_time_p99": "double precision",
        "request_time_max": "double precision",
        "late_requests": "bigint",
        "first_event": "timestamp with time zone",
        "last_event": "timestamp with time zone",
        "closed": "boolean",
        "revision": "integer",
        "updated_at": "timestamp with time zone",
        "sketches": "bytea",
    },
    "access_kpi_by": {
        "window_start": "timestamp with time zone",
        "window_seconds": "integer",
        "dimension": "text",
        "value": "text",
        "requests": "bigint",
        "requests_error": "bigint",
        "bytes_sent": "bigint",
        "errors": "bigint",
    },
    "access_hourly": {
        "date": "date",
        "hour": "integer",
        "hour_start": "timestamp with time zone",
        "requests": "bigint",
        "unique_visitors": "bigint",
        "closed": "boolean",
    },
    "access_daily": {
        "date": "date",
        "day_start": "timestamp with time zone",
        "requests": "bigint",
        "unique_visitors": "bigint",
        "closed": "boolean",
    },
    "ingest_ledger": {
        "topic": "text",
        "partition": "integer",
        "next_offset": "bigint",
        "lines": "bigint",
        "counted": "bigint",
        "rejected": "bigint",
        "late_dropped": "bigint",
        "duplicates": "bigint",
        "lost_offsets": "bigint",
        "expired": "bigint",
        "watermark": "timestamp with time zone",
        "idle": "boolean",
        "updated_at": "timestamp with time zone",
    },
    "access_load": {
        "date": "date",
        "hour": "integer",
        "hour_start": "timestamp with time zone",
        "requests": "bigint",
        "requests_per_second": "double precision",
        "peak_requests_per_second": "bigint",
    },
    "completeness": {
        "topic": "text",
        "host": "text",
        "path": "text",
        "file": "text",
        "partitions": "integer",
        "first_offset": "bigint",
        "next_offset": "bigint",
        "arrived_bytes": "bigint",
        "missing_bytes": "bigint",
        "updated_at": "timestamp with time zone",
    },
    "conservation": {
        "compares": "text",
        "topic": "text",
        "partition": "integer",
        "window_seconds": "integer",
        "expected": "bigint",
        "actual": "bigint",
        "difference": "bigint",
    },
}


@pytest.mark.parametrize("table", COLUMNS)
async def test_columns_are_as_promised(store: Store, table: str) -> None:
    """Names and types of the columns that users read."""
    rows = await store.eye.fetch(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $1", table
    )
    assert COLUMNS[table].items() <= {row["column_name"]: row["data_type"] for row in rows}.items()


async def test_everything_has_a_comment(store: Store) -> None:
    """Each table, view and column says in the database itself what it is."""
    rows = await store.eye.fetch(
        """
        SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v') AND NOT a.attisdropped
           AND (a.attnum > 0 AND col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)
        """
    )
    assert [tuple(row) for row in rows] == []


@pytest.mark.parametrize("room", ["claim", "flush", "merge", "tops", "compact", "expire", "secret", "read"])
async def test_every_query_fits_the_schema(store: Store, room: str) -> None:
    """Postgres understands each query of the files, as the migrations have made its tables."""
    parts = {
        "table": "access_kpi",
        "by": "access_kpi_by",
        "columns": "requests",
        "old": "old.requests",
        "new": "excluded.requests",
    }
    if room == "tops":
        parts |= {"table": "access_kpi_by", "arrays": "$7::bigint[]"}
    for name, sql in queries.load(room).items():
        assert await store.eye.prepare(sql.format(**parts)), name


def test_rows_of_the_feed_have_the_columns_of_its_table() -> None:
    """What a feed measures has a column, and each column that has no default a measure or a meaning of its own."""
    ours = {"window_start", "window_seconds", "closed", "revision", "updated_at", "sketches"}
    empty = {measure.name: measure.aggregate.zero() for measure in ACCESS.measures}
    measured = ACCESS.row(empty, 60).keys()
    assert (measured | ours) == COLUMNS[ACCESS.table].keys()
    assert ACCESS.totals(empty).keys() <= COLUMNS[f"{ACCESS.table}_by"].keys()


async def test_conservation_compares_before_there_are_rows(store: Store) -> None:
    """What is read but not merged yet shows as missing, not as nothing to compare."""
    sink = await store.sink()
    await sink.flush(Owner().read(1, 2).checkpoint())
    rows = {row["compares"]: row for row in await store.eye.fetch("SELECT * FROM conservation")}
    assert [row["difference"] for row in rows.values()] == [0, 0, 2]
    merged = rows["counted - expired = requests of rows"]
    assert (merged["topic"], merged["window_seconds"], merged["expected"], merged["actual"]) == (TOPIC, 60, 2, 0)
    await settle(sink)
    assert await store.eye.fetchval("SELECT sum(abs(difference)) FROM conservation") == 0


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE ingest_ledger SET lines = lines + 1",
        "DELETE FROM segment",
        "UPDATE segment SET partition = 5",
        "UPDATE access_kpi SET requests = requests + 1",
    ],
)
async def test_conservation_shows_what_is_missing_or_there_twice(store: Store, spoil: str) -> None:
    """A line that was lost or counted twice makes a difference, wherever it happened."""
    sink = await store.sink()
    await sink.flush(Owner().read(1, 2).checkpoint())
    await settle(sink)
    await store.eye.execute(spoil)
    assert await store.eye.fetchval("SELECT sum(abs(difference)) FROM conservation") > 0


async def test_load_is_by_the_hours_of_the_time_zone(store: Store) -> None:
    """Hours and days are those of KPI_TIMEZONE, half-hour offsets included; the mean is over the whole hour."""
    sink = await store.sink()
    await sink.flush(Owner().read(0, 0.5, 1, 3_000).checkpoint())  # T0 is 2023-11-14 22:14 in UTC
    await settle(sink)
    await store.eye.execute("UPDATE kpi_setting SET value = 'Asia/Kolkata'")  # 03:44 the next day
    loads = await store.eye.fetch("SELECT * FROM access_load ORDER BY hour_start")
    assert [(load["date"], load["hour"], load["requests"]) for load in loads] == [
        (date(2023, 11, 15), 3, 3),
        (date(2023, 11, 15), 4, 1),
    ]
    assert loads[0]["requests_per_second"] == 3 / 3_600
    assert loads[0]["peak_requests_per_second"] == 2
    assert loads[0]["hour_start"] == at(-44 * 60)


async def test_hour_that_comes_twice_is_two_hours(store: Store) -> None:
    """Where clocks are put back, the two hours of one name are told apart."""
    sink = await store.sink()
    back = 1_698_541_200 - 1_700_000_040  # 2023-10-29 01:00 UTC: 03:00 becomes 02:00 in Berlin
    await sink.flush(Owner().read(back - 60, back + 60).checkpoint())
    await settle(sink)
    await store.eye.execute("UPDATE kpi_setting SET value = 'Europe/Berlin'")
    loads = await store.eye.fetch("SELECT hour, requests FROM access_load")
    assert [tuple(load) for load in loads] == [(2, 1), (2, 1)]
