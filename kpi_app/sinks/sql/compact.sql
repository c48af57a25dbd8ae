-- Queries of kpi_app/sinks/compact.py. A query starts at "-- name --", its description follows.
-- {table} is filled in from the feed's declaration, never from data.

-- find_late --
-- A partition, and up to $5 windows in which it has sealed late segments that are worth uniting: the row is closed and
-- did not change for $3 seconds, or there are $4 of them. $6: see segment.LATE_BLOCK.
WITH late AS (
    SELECT partition, window_start, count(*) AS segments
      FROM segment JOIN ingest_ledger AS books USING (topic, partition)
     WHERE topic = $1 AND part > 0 AND part - 1 < books.next_offset / $6::bigint
       AND window_start + make_interval(secs => $2::integer) <= books.passed
     GROUP BY partition, window_start
), worth AS (
    SELECT late.partition, late.window_start
      FROM late LEFT JOIN {table} AS row ON row.window_start = late.window_start AND row.window_seconds = $2
     WHERE late.segments >= $4
        OR (row.closed AND row.updated_at <= statement_timestamp() - $3::double precision * interval '1 second')
     ORDER BY partition, window_start LIMIT $5
)
SELECT partition, array_agg(window_start ORDER BY window_start) AS windows
  FROM worth GROUP BY partition ORDER BY partition LIMIT 1;

-- lock_books --
-- Keeps flushes of a partition out until the transaction ends.
SELECT next_offset, passed FROM ingest_ledger WHERE topic = $1 AND partition = $2 FOR UPDATE;

-- lock_windows --
-- Locks windows until the transaction ends, those that no merge holds: it reads their segments page by page.
SELECT window_start FROM unnest($3::timestamptz[]) AS window_start
 WHERE pg_try_advisory_xact_lock(hashtextextended($1 || extract(epoch FROM window_start), $2));

-- read_sealed --
-- The first $5 sealed segments of a partition in some windows ($3), oldest first: no flush can bring one of them again.
SELECT segment.window_start, part, "offset", requests, state
  FROM segment JOIN ingest_ledger AS books USING (topic, partition)
 WHERE topic = $1 AND partition = $2 AND segment.window_start = ANY ($3::timestamptz[])
   AND segment.window_start + make_interval(secs => $4::integer) <= books.passed
   AND (part = 0 OR part - 1 < books.next_offset / $6::bigint)
 ORDER BY segment.window_start, part LIMIT $5;

-- delete_united --
-- Deletes the segments of a partition that were united.
DELETE FROM segment USING unnest($3::timestamptz[], $4::bigint[]) AS united (window_start, part)
 WHERE segment.topic = $1 AND segment.partition = $2
   AND segment.window_start = united.window_start AND segment.part = united.part;

-- write_united --
-- Writes what they were united to.
INSERT INTO segment (topic, partition, window_start, part, "offset", requests, state)
SELECT $1, $2, window_start, 0, "offset", requests, state
  FROM unnest($3::timestamptz[], $4::bigint[], $5::bigint[], $6::bytea[])
       AS united (window_start, "offset", requests, state);
