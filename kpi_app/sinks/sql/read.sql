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
-- The mergeable states of windows of one size ($1) in a span of time, of closed ones only where $4 says so.
SELECT window_start, sketches FROM {table}
 WHERE window_seconds = $1 AND window_start >= $2 AND window_start < $3 AND (closed OR NOT $4)
   AND sketches IS NOT NULL
 ORDER BY window_start;

-- tops --
-- The values of a dimension in one window.
SELECT value, requests, requests_error, bytes_sent, errors FROM {by}
 WHERE window_seconds = $1 AND window_start = $2 AND dimension = $3
 ORDER BY value = '(other)', requests DESC, value;
