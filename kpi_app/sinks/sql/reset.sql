-- Queries of kpi_app/sinks/reset.py. A query starts at "-- name --", its description follows.

-- claimed_topic --
-- The topic that a feed's state came from.
SELECT topic FROM kpi_feed WHERE feed = $1;

-- lock_tables --
-- Keeps flush and merge out, which take these in the same order: no deadlock.
LOCK TABLE ingest_ledger, segment, dirty_window, source_file, {table} IN EXCLUSIVE MODE;

-- forget --
-- Deletes all that is stored of a feed.
DELETE FROM {shared} WHERE topic = $1;

-- forget_rows --
DELETE FROM {table};

-- forget_feed --
DELETE FROM kpi_feed WHERE feed = $1;
