-- Queries of kpi_app/sinks/flush.py. A query starts at "-- name --", its description follows.

-- open_ledger --
-- Opens the books of source partitions that have none yet, in one order for all workers: no deadlock.
INSERT INTO ingest_ledger (topic, partition)
SELECT $1, partition FROM unnest($2::integer[]) AS partition ORDER BY partition
ON CONFLICT DO NOTHING;

-- lock_ledger --
-- Locks the books of one source partition until the transaction ends.
SELECT next_offset, lines FROM ingest_ledger WHERE topic = $1 AND partition = $2 FOR UPDATE;

-- write_segments --
-- Writes segments of one source partition, over what earlier checkpoints said of them.
INSERT INTO segment (topic, partition, window_start, part, "offset", requests, state)
SELECT $1, $2, * FROM unnest($3::timestamptz[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[])
ON CONFLICT (topic, window_start, partition, part)
DO UPDATE SET "offset" = excluded."offset", requests = excluded.requests, state = excluded.state;

-- mark_windows --
-- Appends a mark for each window that segments were written to.
INSERT INTO dirty_window (topic, window_seconds, window_start)
SELECT $1, $2, window_start FROM unnest($3::timestamptz[]) AS window_start;

-- write_files --
-- Writes what one source partition has seen of files.
INSERT INTO source_file
       (topic, partition, file_key, host, path, file, "offset", first_offset, next_offset, below, arrived)
SELECT $1, $2, file_key, host, path, file, at, first_offset, next_offset, below, arrived::int8multirange
  FROM unnest($3::bytea[], $4::text[], $5::text[], $6::text[],
              $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[])
    AS new (file_key, host, path, file, at, first_offset, next_offset, below, arrived)
ON CONFLICT (topic, partition, file_key)
DO UPDATE SET "offset" = excluded."offset", first_offset = excluded.first_offset, next_offset = excluded.next_offset,
              below = excluded.below, arrived = excluded.arrived, updated_at = excluded.updated_at;

-- forget_files --
-- Deletes files that the state of a source partition has forgotten.
DELETE FROM source_file WHERE topic = $1 AND partition = $2 AND "offset" < $3;

-- write_ledger --
-- Writes the books of one source partition; the lease on being idle starts now.
UPDATE ingest_ledger
   SET next_offset = $3, lines = $4, counted = $5, rejected = $6, late_dropped = $7, duplicates = $8,
       lost_offsets = $9, watermark = $10, passed = $11, idle = $12,
       idle_until = CASE WHEN $12 THEN statement_timestamp() + $13 * interval '1 second' END,
       updated_at = statement_timestamp()
 WHERE topic = $1 AND partition = $2;

-- renew_idle --
-- Writes only whether a partition is idle, and only when that changes or half of the lease is over.
UPDATE ingest_ledger
   SET idle = $3, idle_until = CASE WHEN $3 THEN statement_timestamp() + $4 * interval '1 second' END,
       updated_at = statement_timestamp()
 WHERE topic = $1 AND partition = $2
   AND (idle <> $3 OR idle_until < statement_timestamp() + $4 * interval '0.5 second');
