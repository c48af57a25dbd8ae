-- Queries of kpi_app/sinks/read.py. A query starts at "-- name --", its description follows.
-- {table} and {columns} are filled in from the feed's declaration, never from data.

-- windows --
-- The latest rows of windows of one size that start in a span of time.
SELECT {columns} FROM {table}
 WHERE window_seconds = $1
   AND window_start >= coalesce($2, '-infinity'::timestamptz)
   AND window_start < coalesce($3, 'infinity'::timestamptz)
 ORDER BY window_start DESC LIMIT $4;

-- ledger --
-- The books of every partition of a topic; idle as far as its lease is valid.
SELECT topic, partition, next_offset, lines, counted, rejected, late_dropped, duplicates, lost_offsets, watermark,
       idle AND coalesce(idle_until > statement_timestamp(), false) AS idle, updated_at
  FROM ingest_ledger WHERE topic = $1 ORDER BY partition;

-- segments --
-- The latest segments of a partition.
SELECT window_start, part, "offset", requests FROM segment
 WHERE topic = $1 AND partition = $2 ORDER BY window_start DESC, part DESC LIMIT $3;

-- is_settled --
-- Nothing is left to merge, and every base row is closed; larger windows may have hours to go.
-- Merge puts nothing off once the base rows are closed.
SELECT NOT EXISTS (SELECT FROM dirty_window WHERE topic = $1)
   AND NOT EXISTS (SELECT FROM {table} WHERE NOT closed
                      AND window_seconds = (SELECT windows[1] FROM kpi_feed WHERE topic = $1)) AS is_settled;

-- extent --
-- From the start of the first window of a size to the end of the last, which must be a time for Python, too.
SELECT min(window_start) AS first,
       least(max(window_start), '9998-12-31') + make_interval(secs => $1::integer) AS last
  FROM {table} WHERE window_seconds = $1;

-- states --
-- The mergeable states of the first windows of one size ($1) in a span of time, of closed ones only where $4 says so.
SELECT window_start, sketches FROM {table}
 WHERE window_seconds = $1 AND window_start >= $2 AND window_start < $3 AND (closed OR NOT $4)
   AND sketches IS NOT NULL
 ORDER BY window_start LIMIT $5;

-- held_spans --
-- The numbers, from 1, of those spans of time in which a window of one of some sizes starts.
-- Ordered and limited, so that each span is one look into the index, however many windows there are.
SELECT span.number FROM unnest($2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS span (starts, ends, number)
  CROSS JOIN LATERAL (SELECT FROM {table} WHERE window_seconds = ANY ($1::integer[])
                         AND window_start >= span.starts AND window_start < span.ends
                       ORDER BY window_start LIMIT 1) AS held
 ORDER BY span.number;

-- held_steps --
-- The first window of one size ($1) in each step of $4 seconds since the epoch, in a span of time; $5 at most.
-- From each it goes on at the next step: as many looks into the index as there are rows, however far apart.
WITH RECURSIVE held AS (
    (SELECT window_start FROM {table} WHERE window_seconds = $1 AND window_start >= $2 AND window_start < $3
      ORDER BY window_start LIMIT 1)
    UNION ALL
    SELECT next.window_start FROM held CROSS JOIN LATERAL
           (SELECT window_start FROM {table}
             WHERE window_seconds = $1 AND window_start < $3 AND window_start >= make_interval(secs => $4::integer)
                   + date_bin(make_interval(secs => $4::integer), held.window_start, 'epoch'::timestamptz)
             ORDER BY window_start LIMIT 1) AS next
)
SELECT window_start FROM held LIMIT $5;

-- tops --
-- The values of a dimension in one window.
SELECT value, requests, requests_error, bytes_sent, errors FROM {by}
 WHERE window_seconds = $1 AND window_start = $2 AND dimension = $3
 ORDER BY value = '(other)', requests DESC, value;
