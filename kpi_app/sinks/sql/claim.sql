-- Queries of kpi_app/sinks/claim.py. A query starts at "-- name --", its description follows.
-- {table} is filled in from the feed's declaration, never from data.

-- claim_feed --
-- Records what the first worker of a feed stores its state with.
INSERT INTO kpi_feed (feed, topic, windows) VALUES ($1, $2, $3::integer[]) ON CONFLICT DO NOTHING;

-- feeds_claimed --
-- What a feed, or the feed of a topic, has its state stored with.
SELECT feed, topic, windows FROM kpi_feed WHERE feed = $1 OR topic = $2 ORDER BY feed = $1 DESC;

-- hold_feed --
-- Keeps sizes and horizon of a feed as they are until the transaction ends. Any number may do so at once.
SELECT pg_advisory_xact_lock_shared(hashtextextended('kpi_app/feed/' || $1, 0));

-- lock_feed --
-- Waits for all that hold the feed, and keeps them out until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('kpi_app/feed/' || $1, 0));

-- try_tidy --
-- Whether no other worker tidies; keeps them from it until the transaction ends.
SELECT pg_try_advisory_xact_lock(hashtextextended('kpi_app/tidy/' || $1, 0));

-- read_feed --
-- The sizes of a feed's windows, and its horizon.
SELECT windows, expired_before FROM kpi_feed WHERE feed = $1;

-- write_windows --
-- Changes the sizes of a feed's windows.
UPDATE kpi_feed SET windows = $2::integer[] WHERE feed = $1;

-- forget_marks --
-- Deletes the marks of sizes that are not among those of the feed.
DELETE FROM dirty_window WHERE topic = $1 AND window_seconds <> ALL ($2::integer[]);

-- mark_all --
-- Marks every window of a size that is new ($2 seconds) and that a base window ($3 seconds) is in; see due_at.
INSERT INTO dirty_window (topic, window_seconds, window_start, due_at)
SELECT DISTINCT $1, $2::integer, date_bin(make_interval(secs => $2::integer), window_start, 'epoch'::timestamptz),
       '-infinity'::timestamptz
  FROM {table} WHERE window_seconds = $3;
