-- Queries of kpi_app/sinks/merge.py. A query starts at "-- name --", its description follows.
-- {table}, {columns} and their like are filled in from the feed's declaration, never from data.

-- lock_windows --
-- Locks up to $5 windows with something to merge, oldest first, passing over those that another worker holds.
-- There is something to merge where a window is marked, and where a row is open though every partition has
-- passed it (`due`). The latter is read off the tables as they are, at every call; no event can be missed.
WITH passed AS (
    -- until when all partitions have passed: the least of their watermarks, of the clock where one is idle
    SELECT min(greatest(watermark,
                        CASE WHEN idle AND idle_until > statement_timestamp() THEN statement_timestamp() END,
                        '-infinity')) - make_interval(secs => $3::integer + $4::integer) AS last_start
      FROM ingest_ledger WHERE topic = $1
), marked AS (
    -- a look at the first marks, not at all of them: a replay leaves a row per partition, window and flush
    SELECT window_start FROM dirty_window
     WHERE topic = $1 AND window_seconds = $3 ORDER BY window_start LIMIT 50 * $5::integer
), due AS (
    SELECT window_start FROM {table}
     WHERE NOT closed AND window_seconds = $3 AND window_start <= (SELECT last_start FROM passed)
     ORDER BY window_start LIMIT 2 * $5::integer
), candidates AS MATERIALIZED (
    SELECT window_start, bool_or(is_due) AS is_due
      FROM (SELECT window_start, false FROM marked UNION ALL SELECT window_start, true FROM due) AS w (window_start, is_due)
     GROUP BY window_start
     ORDER BY window_start
)
SELECT window_start, is_due, coalesce(window_start <= (SELECT last_start FROM passed), false) AS closes
  FROM candidates
 WHERE pg_try_advisory_xact_lock(hashtextextended($2 || extract(epoch FROM window_start), $3))
 LIMIT $5::integer;

-- take_marks --
-- Deletes the marks of windows as far as they are visible now; says which windows had any.
WITH taken AS (
    DELETE FROM dirty_window
     WHERE topic = $1 AND window_seconds = $2 AND window_start = ANY ($3::timestamptz[])
    RETURNING window_start
)
SELECT DISTINCT window_start FROM taken;

-- read_segments --
-- All segments of some windows.
SELECT window_start, state FROM segment WHERE topic = $1 AND window_start = ANY ($2::timestamptz[]);

-- write_rows --
-- Publishes rows, those that changed. A row that was closed stays closed: what changes it is a revision.
INSERT INTO {table} AS old (window_start, window_seconds, closed, updated_at, {columns})
SELECT window_start, window_seconds, closed, statement_timestamp(), {columns}
  FROM jsonb_populate_recordset(NULL::{table}, $1::jsonb)
 ORDER BY window_start
ON CONFLICT (window_start, window_seconds) DO UPDATE
   SET ({columns}) = ROW ({new}), closed = old.closed OR excluded.closed,
       revision = old.revision + old.closed::integer, updated_at = excluded.updated_at
 WHERE ({old}, old.closed) IS DISTINCT FROM ({new}, old.closed OR excluded.closed);
