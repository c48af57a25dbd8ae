-- Queries of kpi_app/sinks/expire.py. A query starts at "-- name --", its description follows.
-- {table} is filled in from the feed's declaration, never from data.

-- find_horizon --
-- The start of the first window of the largest size ($3 seconds) that is to stay: the first that ended less than $4
-- seconds ago, that a partition has not passed by the grace ($5), or that has an open row in it.
SELECT date_bin(make_interval(secs => $3::integer),
                least(statement_timestamp() - make_interval(secs => $4::double precision),
                      (SELECT min(greatest(watermark,
                                           CASE WHEN idle AND idle_until > statement_timestamp()
                                                THEN statement_timestamp() END, '-infinity'))
                              - make_interval(secs => $5::integer)
                         FROM ingest_ledger WHERE topic = $1),
                      (SELECT min(window_start) FROM {table} WHERE NOT closed AND window_seconds = ANY ($2::integer[]))),
                'epoch'::timestamptz) AS horizon
 WHERE EXISTS (SELECT FROM ingest_ledger WHERE topic = $1)
   AND NOT EXISTS (SELECT FROM ingest_ledger WHERE topic = $1 AND watermark IS NULL
                      AND NOT (idle AND coalesce(idle_until > statement_timestamp(), false)));

-- move_horizon --
-- Says, before anything of them is deleted, which windows are dropped; never takes it back.
UPDATE kpi_feed SET expired_before = $2
 WHERE feed = $1 AND coalesce(expired_before < $2, true);

-- drop_rows --
-- Deletes up to $2 rows of windows that are dropped.
WITH gone AS (
    DELETE FROM {table}
     WHERE ctid = ANY (ARRAY (SELECT ctid FROM {table} WHERE window_start < $1 LIMIT $2))
    RETURNING 1
)
SELECT count(*) AS rows FROM gone;

-- drop_segments --
-- Deletes up to $5 sealed segments of a partition of windows that are dropped, and says so in its books, which are
-- locked. One that is not sealed may still grow: it stays until then.
WITH gone AS (
    DELETE FROM segment
     WHERE ctid = ANY (ARRAY (
           SELECT segment.ctid FROM segment JOIN ingest_ledger AS books USING (topic, partition)
            WHERE topic = $1 AND partition = $2 AND segment.window_start < $3
              AND segment.window_start + make_interval(secs => $4::double precision) <= books.passed
              AND (part = 0 OR part - 1 < books.next_offset / $6::bigint)
            LIMIT $5))
    RETURNING requests
), booked AS (
    UPDATE ingest_ledger SET expired = expired + (SELECT coalesce(sum(requests), 0) FROM gone)
     WHERE topic = $1 AND partition = $2 AND EXISTS (SELECT FROM gone)
)
SELECT count(*) AS segments FROM gone;

-- partitions_to_drop --
-- Partitions that have segments of windows that are dropped.
SELECT DISTINCT partition FROM segment WHERE topic = $1 AND window_start < $2 ORDER BY partition;
