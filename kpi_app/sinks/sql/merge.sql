-- Queries of kpi_app/sinks/merge.py. A query starts at "-- name --", its description follows.
-- {table}, {columns} and their like are filled in from the feed's declaration, never from data.

-- lock_windows --
-- Locks up to $5 windows of a size ($3) with something to merge, oldest first, passing over those that another worker
-- holds. There is something to merge where a window is marked, and where a row is open though every partition has
-- passed it (`due`). The latter is read off the tables as they are, at every call; no event can be missed.
-- A larger window ($6: the smaller sizes, the base first) closes when nothing smaller in it is left to merge. It is
-- merged as soon as, besides, no base window in it is open; else when its mark is due.
WITH passed AS (
    -- until when all partitions have passed: the least of their watermarks, of the clock where one is idle
    SELECT min(greatest(watermark,
                        CASE WHEN idle AND idle_until > statement_timestamp() THEN statement_timestamp() END,
                        '-infinity')) - make_interval(secs => $3::integer + $4::integer) AS last_start
      FROM ingest_ledger WHERE topic = $1
), marked AS (
    -- a look at the first marks, not at all of them: a replay leaves a row per partition, window and flush
    SELECT window_start, due_at FROM dirty_window
     WHERE topic = $1 AND window_seconds = $3 ORDER BY window_start LIMIT 50 * $5::integer
), due AS (
    SELECT window_start FROM {table}
     WHERE NOT closed AND window_seconds = $3 AND window_start <= (SELECT last_start FROM passed)
     ORDER BY window_start LIMIT 2 * $5::integer
), found AS MATERIALIZED (
    SELECT window_start, bool_or(is_due) AS is_due, min(due_at) AS due_at,
           tstzrange(window_start, window_start + make_interval(secs => $3::integer)) AS span
      FROM (SELECT window_start, false, due_at FROM marked
            UNION ALL SELECT window_start, true, NULL FROM due) AS w (window_start, is_due, due_at)
     GROUP BY window_start
), looked AS MATERIALIZED (
    SELECT found.*,
           EXISTS (SELECT FROM dirty_window
                    WHERE topic = $1 AND window_seconds = ANY ($6::integer[])
                      AND window_start >= lower(span) AND window_start < upper(span)) AS is_unmerged,
           EXISTS (SELECT FROM dirty_window
                    WHERE due_at = '-infinity' AND topic = $1 AND window_seconds = ANY ($6::integer[])
                      AND window_start >= lower(span) AND window_start < upper(span)) AS is_new,
           EXISTS (SELECT FROM {table} AS base
                    WHERE NOT base.closed AND base.window_seconds = ($6::integer[])[1]
                      AND base.window_start >= lower(span) AND base.window_start < upper(span)) AS is_growing
      FROM found
), ready AS MATERIALIZED (
    SELECT * FROM looked
     WHERE (is_due AND NOT is_unmerged)
        OR (due_at <= statement_timestamp() AND NOT is_new)
        OR (due_at IS NOT NULL AND cardinality($6::integer[]) > 0 AND NOT is_unmerged AND NOT is_growing)
     ORDER BY window_start
)
SELECT window_start, is_due AND NOT is_unmerged AS is_due,
       coalesce(window_start <= (SELECT last_start FROM passed), false) AND NOT is_unmerged AS closes
  FROM ready
 WHERE pg_try_advisory_xact_lock(hashtextextended($2 || extract(epoch FROM window_start), $3))
 LIMIT $5::integer;

-- take_marks --
-- Deletes the marks of windows as far as they are visible now; says of each window whether it had any, and whether
-- the lists of its row may be written again: at once when it is closed, else $4 seconds after they were last.
WITH taken AS (
    DELETE FROM dirty_window
     WHERE topic = $1 AND window_seconds = $2 AND window_start = ANY ($3::timestamptz[])
    RETURNING window_start
), marked AS (
    SELECT DISTINCT window_start FROM taken
)
SELECT locked.window_start, marked.window_start IS NOT NULL AS is_marked,
       coalesce(old.closed OR old.tops_at <= statement_timestamp() - $4::double precision * interval '1 second', true)
       AS lists
  FROM unnest($3::timestamptz[]) AS locked (window_start)
  LEFT JOIN marked ON marked.window_start = locked.window_start
  LEFT JOIN {table} AS old ON old.window_start = locked.window_start AND old.window_seconds = $2;

-- weigh_segments --
-- How many bytes the segments of windows have.
SELECT window_start, sum(octet_length(state))::bigint AS bytes FROM segment
 WHERE topic = $1 AND window_start = ANY ($2::timestamptz[])
 GROUP BY window_start;

-- weigh_smaller --
-- How many bytes the states of the rows of size $1 have that are in windows ($2) of a larger size ($3).
SELECT of.window_start, sum(octet_length(small.sketches))::bigint AS bytes
  FROM unnest($2::timestamptz[]) AS of (window_start)
  JOIN {table} AS small
       ON small.window_start >= of.window_start
      AND small.window_start < of.window_start + make_interval(secs => $3::integer)
 WHERE small.window_seconds = $1 AND small.sketches IS NOT NULL
 GROUP BY of.window_start;

-- read_segments --
-- The next $6 segments of some windows, after the one of window $3, partition $4 and part $5.
SELECT window_start, partition, part, state FROM segment
 WHERE topic = $1 AND window_start = ANY ($2::timestamptz[])
   AND (window_start, partition, part) > ($3::timestamptz, $4::integer, $5::bigint)
 ORDER BY window_start, partition, part LIMIT $6;

-- read_smaller --
-- The states of the next $5 rows of size $1 that are in windows ($2) of a larger size ($3), after window $4.
SELECT of.window_start, small.window_start AS smaller_start, small.sketches AS state
  FROM unnest($2::timestamptz[]) AS of (window_start)
  JOIN {table} AS small
       ON small.window_start >= of.window_start
      AND small.window_start < of.window_start + make_interval(secs => $3::integer)
 WHERE small.window_seconds = $1 AND small.window_start > $4 AND small.sketches IS NOT NULL
 ORDER BY small.window_start LIMIT $5;

-- write_rows --
-- Publishes rows, those that changed, and says which. $3: their states, $4: whether their lists are written, too.
-- A row that was closed stays closed: what changes it is a revision. All that a line adds to a state shows in a column.
INSERT INTO {table} AS old (window_start, window_seconds, closed, updated_at, tops_at, sketches, {columns})
SELECT row.window_start, window_seconds, closed, statement_timestamp(),
       CASE WHEN states.lists THEN statement_timestamp() END, states.state, {columns}
  FROM jsonb_populate_recordset(NULL::{table}, $1::jsonb) AS row
  JOIN unnest($2::timestamptz[], $3::bytea[], $4::boolean[]) AS states (window_start, state, lists)
       ON states.window_start = row.window_start
 ORDER BY row.window_start
ON CONFLICT (window_start, window_seconds) DO UPDATE
   SET ({columns}) = ROW ({new}), sketches = excluded.sketches, closed = old.closed OR excluded.closed,
       revision = old.revision + (old.closed AND ({old}) IS DISTINCT FROM ({new}))::integer,
       tops_at = coalesce(excluded.tops_at, old.tops_at), updated_at = excluded.updated_at
 WHERE ({old}, old.closed) IS DISTINCT FROM ({new}, old.closed OR excluded.closed)
    OR (excluded.tops_at IS NOT NULL AND old.tops_at IS DISTINCT FROM old.updated_at)
RETURNING window_start;

-- mark_again --
-- Marks windows whose lists are behind their rows, for when they may be written.
INSERT INTO dirty_window (topic, window_seconds, window_start, due_at)
SELECT $1, $2, window_start, coalesce(tops_at + $4::double precision * interval '1 second', statement_timestamp())
  FROM {table}
 WHERE window_seconds = $2 AND window_start = ANY ($3::timestamptz[]) AND tops_at IS DISTINCT FROM updated_at;

-- mark_larger --
-- Marks the windows of the next larger size ($2) that windows are in.
INSERT INTO dirty_window (topic, window_seconds, window_start, due_at)
SELECT DISTINCT $1, $2::integer, date_bin(make_interval(secs => $2::integer), window_start, 'epoch'::timestamptz),
       statement_timestamp() + $4::double precision * interval '1 second'
  FROM unnest($3::timestamptz[]) AS window_start;
