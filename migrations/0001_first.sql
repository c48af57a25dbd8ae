-- The first schema: checkpoints arrive in segment and ingest_ledger, merge turns them into access_kpi.
--
-- segment, dirty_window and ingest_ledger are shared by all feeds; a feed's rows have a table of their own.

CREATE TABLE kpi_setting (
    name text PRIMARY KEY,
    value text NOT NULL
);
COMMENT ON TABLE kpi_setting IS 'Settings that views depend on; written by `kpi migrate`.';
COMMENT ON COLUMN kpi_setting.name IS 'timezone: the zone that the views of hours and days are in (KPI_TIMEZONE).';
COMMENT ON COLUMN kpi_setting.value IS 'The value of the setting.';

INSERT INTO kpi_setting (name, value) VALUES ('timezone', 'UTC');

CREATE TABLE kpi_feed (
    feed text PRIMARY KEY,
    topic text NOT NULL UNIQUE,
    windows integer[] NOT NULL CHECK (windows[1] > 0),
    expired_before timestamptz,
    started_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE kpi_feed IS 'What the stored state of each feed was made with; a worker that differs is stopped.';
COMMENT ON COLUMN kpi_feed.feed IS 'Name of the feed.';
COMMENT ON COLUMN kpi_feed.topic IS 'Topic of its raw records.';
COMMENT ON COLUMN kpi_feed.windows IS
    'Sizes of its windows (KPI_WINDOWS), seconds; the first is the base, which its segments are of.';
COMMENT ON COLUMN kpi_feed.expired_before IS
    'Windows that start before it are dropped (KPI_KEEP) and never come back; it only ever moves on.';
COMMENT ON COLUMN kpi_feed.started_at IS 'When its first worker started.';

CREATE TABLE kpi_secret (
    name text PRIMARY KEY,
    value bytea NOT NULL
);
COMMENT ON TABLE kpi_secret IS 'Keys that were made once and that all workers share; `kpi reset` keeps them.';
COMMENT ON COLUMN kpi_secret.name IS 'visitor: the key of the hashes that tell visitors apart.';
COMMENT ON COLUMN kpi_secret.value IS 'The key.';

CREATE TABLE ingest_ledger (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0,
    lines bigint NOT NULL DEFAULT 0,
    counted bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    late_dropped bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    lost_offsets bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0,
    watermark timestamptz,
    passed timestamptz,
    idle boolean NOT NULL DEFAULT false,
    idle_until timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);  -- each row is rewritten with every flush: room for that in its own page
COMMENT ON TABLE ingest_ledger IS
    'The books of each source partition: lines = counted + rejected + late_dropped + duplicates.';
COMMENT ON COLUMN ingest_ledger.topic IS 'Topic of the raw records.';
COMMENT ON COLUMN ingest_ledger.partition IS 'Partition of the topic.';
COMMENT ON COLUMN ingest_ledger.next_offset IS 'All offsets below it are in these books and in the segments.';
COMMENT ON COLUMN ingest_ledger.lines IS 'Lines read.';
COMMENT ON COLUMN ingest_ledger.counted IS 'Of lines, those that count in a window.';
COMMENT ON COLUMN ingest_ledger.rejected IS 'Of lines, those that could not be read; they are in the dead letters.';
COMMENT ON COLUMN ingest_ledger.late_dropped IS 'Of lines, those that were later than KPI_CORRECT_FOR allows.';
COMMENT ON COLUMN ingest_ledger.duplicates IS 'Of lines, those sent twice before Kafka; never replays.';
COMMENT ON COLUMN ingest_ledger.lost_offsets IS 'Offsets removed from the topic before they were read; not in lines.';
COMMENT ON COLUMN ingest_ledger.expired IS 'Of counted, those whose segments were dropped since (KPI_KEEP).';
COMMENT ON COLUMN ingest_ledger.watermark IS 'Greatest event time accepted; null before the first.';
COMMENT ON COLUMN ingest_ledger.passed IS
    'Windows that end at or before it get late lines only; null before the first event. Never goes back.';
COMMENT ON COLUMN ingest_ledger.idle IS
    'Its owner, connected and caught up, has seen nothing for KPI_IDLE_AFTER; holds only while idle_until is ahead.';
COMMENT ON COLUMN ingest_ledger.idle_until IS
    'End of the lease on being idle, which the owner renews: the partition of a dead owner stops being idle by itself.';
COMMENT ON COLUMN ingest_ledger.updated_at IS 'When the row was written.';

CREATE TABLE segment (
    topic text NOT NULL,
    window_start timestamptz NOT NULL,
    partition integer NOT NULL,
    part bigint NOT NULL,
    "offset" bigint NOT NULL,
    requests bigint NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (topic, window_start, partition, part)  -- in this order: merge reads whole windows
);
ALTER TABLE segment ALTER COLUMN state SET STORAGE EXTERNAL;  -- it is compressed already
-- what compaction looks for; a segment that it has made is of part 0
CREATE INDEX segment_late ON segment (topic, partition, window_start) WHERE part > 0;
COMMENT ON TABLE segment IS
    'What each source partition contributed to each base window, as of the offset in its ledger row.';
COMMENT ON COLUMN segment.topic IS 'Topic of the raw records; the size of its base windows is in kpi_feed.';
COMMENT ON COLUMN segment.window_start IS 'Start of the base window.';
COMMENT ON COLUMN segment.partition IS 'Source partition.';
COMMENT ON COLUMN segment.part IS '0: lines that were on time; 1 + offset / 16384: late lines of that block of offsets.';
COMMENT ON COLUMN segment."offset" IS 'Offset of the checkpoint that wrote it.';
COMMENT ON COLUMN segment.requests IS 'Lines counted in it.';
COMMENT ON COLUMN segment.state IS 'All measures, as kpi_app.core.segment encodes them.';

CREATE TABLE dirty_window (
    topic text NOT NULL,
    window_start timestamptz NOT NULL,
    window_seconds integer NOT NULL,
    due_at timestamptz NOT NULL DEFAULT statement_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);  -- a queue: all rows die young
-- no unique key: a mark that finds its like must not be dropped while a merge is about to delete that one
CREATE INDEX dirty_window_key ON dirty_window (topic, window_seconds, window_start);
CREATE INDEX dirty_window_new ON dirty_window (topic, window_seconds, window_start) WHERE due_at = '-infinity';
COMMENT ON TABLE dirty_window IS 'Marks, only ever appended: windows that changed since they were merged last.';
COMMENT ON COLUMN dirty_window.topic IS 'Topic of the raw records.';
COMMENT ON COLUMN dirty_window.window_start IS 'Start of the window.';
COMMENT ON COLUMN dirty_window.window_seconds IS 'Size of the window.';
COMMENT ON COLUMN dirty_window.due_at IS
    'When it is to be merged at the latest; -infinity: its size is new in KPI_WINDOWS, it was never merged before.';

CREATE TABLE access_kpi (
    window_start timestamptz NOT NULL,
    window_seconds integer NOT NULL,
    requests bigint NOT NULL,
    requests_per_second double precision NOT NULL,
    peak_requests_per_second bigint NOT NULL,
    bytes_sent bigint NOT NULL,
    status_1xx bigint NOT NULL,
    status_2xx bigint NOT NULL,
    status_3xx bigint NOT NULL,
    status_4xx bigint NOT NULL,
    status_5xx bigint NOT NULL,
    status_other bigint NOT NULL,
    unique_visitors bigint NOT NULL DEFAULT 0,
    bot_requests bigint NOT NULL DEFAULT 0,
    request_time_mean double precision,
    request_time_p50 double precision,
    request_time_p90 double precision,
    request_time_p95 double precision,
    request_time_p99 double precision,
    request_time_max double precision,
    late_requests bigint NOT NULL,
    first_event timestamptz,
    last_event timestamptz,
    closed boolean NOT NULL,
    revision integer NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    tops_at timestamptz,
    sketches bytea,
    PRIMARY KEY (window_start, window_seconds)
) WITH (fillfactor = 80);
ALTER TABLE access_kpi ALTER COLUMN sketches SET STORAGE EXTERNAL;  -- they are compressed already
-- what is still to be closed, in the order in which merge looks for it
CREATE INDEX access_kpi_open ON access_kpi (window_seconds, window_start) WHERE NOT closed;
COMMENT ON TABLE access_kpi IS
    'Access logs by window: a line counts in [window_start, window_start + window_seconds) that holds its time.';
COMMENT ON COLUMN access_kpi.window_start IS 'Start of the window.';
COMMENT ON COLUMN access_kpi.window_seconds IS 'Size of the window.';
COMMENT ON COLUMN access_kpi.requests IS 'Lines counted.';
COMMENT ON COLUMN access_kpi.requests_per_second IS 'Load: the mean over the window.';
COMMENT ON COLUMN access_kpi.peak_requests_per_second IS
    'Load: the most requests in any one second of the window, over all partitions.';
COMMENT ON COLUMN access_kpi.bytes_sent IS 'Sum of body bytes; "-" is 0.';
COMMENT ON COLUMN access_kpi.status_1xx IS 'Requests answered with 100 to 199.';
COMMENT ON COLUMN access_kpi.status_2xx IS 'Requests answered with 200 to 299.';
COMMENT ON COLUMN access_kpi.status_3xx IS 'Requests answered with 300 to 399.';
COMMENT ON COLUMN access_kpi.status_4xx IS 'Requests answered with 400 to 499.';
COMMENT ON COLUMN access_kpi.status_5xx IS 'Requests answered with 500 to 599.';
COMMENT ON COLUMN access_kpi.status_other IS 'Requests with any other status, or none.';
COMMENT ON COLUMN access_kpi.unique_visitors IS 'Different visitors, within 3 %; exact below 100.';
COMMENT ON COLUMN access_kpi.bot_requests IS 'Requests by known bots and crawlers.';
COMMENT ON COLUMN access_kpi.request_time_mean IS 'Mean request time, seconds; null where the log has none.';
COMMENT ON COLUMN access_kpi.request_time_p50 IS 'Half of the requests took no longer, seconds, within 1 %.';
COMMENT ON COLUMN access_kpi.request_time_p90 IS '90 % of the requests took no longer, seconds, within 1 %.';
COMMENT ON COLUMN access_kpi.request_time_p95 IS '95 % of the requests took no longer, seconds, within 1 %.';
COMMENT ON COLUMN access_kpi.request_time_p99 IS '99 % of the requests took no longer, seconds, within 1 %.';
COMMENT ON COLUMN access_kpi.request_time_max IS 'Longest request time, seconds.';
COMMENT ON COLUMN access_kpi.late_requests IS 'Of requests, those that were late.';
COMMENT ON COLUMN access_kpi.first_event IS 'Earliest event time counted.';
COMMENT ON COLUMN access_kpi.last_event IS 'Latest event time counted.';
COMMENT ON COLUMN access_kpi.closed IS
    'Every source partition has passed the window. Never reverts; what still comes are corrections.';
COMMENT ON COLUMN access_kpi.revision IS '0 while open, then +1 for each change published after closing.';
COMMENT ON COLUMN access_kpi.updated_at IS 'When the row was written.';
COMMENT ON COLUMN access_kpi.tops_at IS
    'When the rows of access_kpi_by were written last; they are behind this row where it is before updated_at.';
COMMENT ON COLUMN access_kpi.sketches IS
    'All measures, visitors and times among them, as kpi_app.core.segment encodes them: to unite windows with.';

CREATE TABLE access_kpi_by (
    window_start timestamptz NOT NULL,
    window_seconds integer NOT NULL,
    dimension text NOT NULL,
    value text NOT NULL,
    requests bigint NOT NULL,
    requests_error bigint NOT NULL DEFAULT 0,
    bytes_sent bigint NOT NULL,
    errors bigint NOT NULL,
    PRIMARY KEY (window_start, window_seconds, dimension, value)
);
COMMENT ON TABLE access_kpi_by IS
    'The top values of each dimension by window, and "(other)": each dimension sums up to the row of access_kpi.';
COMMENT ON COLUMN access_kpi_by.window_start IS 'Start of the window.';
COMMENT ON COLUMN access_kpi_by.window_seconds IS 'Size of the window.';
COMMENT ON COLUMN access_kpi_by.dimension IS 'What the requests are told apart by, such as path or status.';
COMMENT ON COLUMN access_kpi_by.value IS
    'The value; "(none)" where it is missing, "(other)" for all that are not listed; one that itself begins with "(" '
    'has a backslash before it.';
COMMENT ON COLUMN access_kpi_by.requests IS 'Lines counted.';
COMMENT ON COLUMN access_kpi_by.requests_error IS 'How many too few requests may be; 0 where it is exact.';
COMMENT ON COLUMN access_kpi_by.bytes_sent IS 'Sum of body bytes.';
COMMENT ON COLUMN access_kpi_by.errors IS 'Requests answered with 400 to 599.';

CREATE VIEW access_load AS
WITH zone AS (
    SELECT coalesce((SELECT value FROM kpi_setting WHERE name = 'timezone'), 'UTC') AS name
), hours AS (
    SELECT date_trunc('hour', window_start, zone.name) AS hour_start,
           sum(requests)::bigint AS requests,
           max(peak_requests_per_second) AS peak
      FROM access_kpi, zone
      -- each line once: of several sizes, the base
     WHERE window_seconds = (SELECT windows[1] FROM kpi_feed WHERE feed = 'access')
     GROUP BY 1
)
SELECT (hour_start AT TIME ZONE zone.name)::date AS date,
       extract(hour FROM hour_start AT TIME ZONE zone.name)::integer AS hour,
       hour_start,
       requests,
       requests / 3600.0::double precision AS requests_per_second,
       peak AS peak_requests_per_second
  FROM hours, zone;
COMMENT ON VIEW access_load IS 'Load of each hour that had requests, in the time zone of KPI_TIMEZONE.';
COMMENT ON COLUMN access_load.date IS 'Day in that zone.';
COMMENT ON COLUMN access_load.hour IS 'Hour of that day, 0 to 23; one hour a year comes twice where clocks are put back.';
COMMENT ON COLUMN access_load.hour_start IS 'Start of the hour, which tells the two apart.';
COMMENT ON COLUMN access_load.requests IS 'Lines counted.';
COMMENT ON COLUMN access_load.requests_per_second IS 'The mean over the whole hour.';
COMMENT ON COLUMN access_load.peak_requests_per_second IS 'The most requests in any one second of the hour.';

CREATE VIEW access_hourly AS
WITH zone AS (
    SELECT coalesce((SELECT value FROM kpi_setting WHERE name = 'timezone'), 'UTC') AS name
)
SELECT (window_start AT TIME ZONE zone.name)::date AS date,
       extract(hour FROM window_start AT TIME ZONE zone.name)::integer AS hour,
       window_start AS hour_start,
       requests, requests_per_second, peak_requests_per_second, bytes_sent, status_1xx, status_2xx, status_3xx,
       status_4xx, status_5xx, status_other, unique_visitors, bot_requests, request_time_mean, request_time_p50,
       request_time_p90, request_time_p95, request_time_p99, request_time_max, late_requests, first_event, last_event,
       closed, revision, updated_at
  FROM access_kpi, zone WHERE window_seconds = 3600;
COMMENT ON VIEW access_hourly IS
    'The windows of one hour, with the names that date and hour have in the time zone of KPI_TIMEZONE.';
COMMENT ON COLUMN access_hourly.date IS 'Day in that zone on which the hour starts.';
COMMENT ON COLUMN access_hourly.hour IS 'Hour of that day, 0 to 23, in which it starts.';
COMMENT ON COLUMN access_hourly.hour_start IS 'Start of the hour: a whole one in UTC.';

CREATE VIEW access_daily AS
WITH zone AS (
    SELECT coalesce((SELECT value FROM kpi_setting WHERE name = 'timezone'), 'UTC') AS name
)
SELECT (window_start AT TIME ZONE zone.name)::date AS date,
       window_start AS day_start,
       requests, requests_per_second, peak_requests_per_second, bytes_sent, status_1xx, status_2xx, status_3xx,
       status_4xx, status_5xx, status_other, unique_visitors, bot_requests, request_time_mean, request_time_p50,
       request_time_p90, request_time_p95, request_time_p99, request_time_max, late_requests, first_event, last_event,
       closed, revision, updated_at
  FROM access_kpi, zone WHERE window_seconds = 86400;
COMMENT ON VIEW access_daily IS
    'The windows of one day, which are days of UTC, with the date on which they start in the zone of KPI_TIMEZONE.';
COMMENT ON COLUMN access_daily.date IS 'Day in that zone on which the window starts.';
COMMENT ON COLUMN access_daily.day_start IS 'Start of the window: midnight in UTC.';

-- the other columns mean what they mean in access_kpi
DO $$
DECLARE
    col record;
BEGIN
    FOR col IN
        SELECT v.attrelid::regclass AS view, v.attname AS name, col_description(t.attrelid, t.attnum) AS says
          FROM pg_attribute AS v JOIN pg_attribute AS t ON t.attrelid = 'access_kpi'::regclass AND t.attname = v.attname
         WHERE v.attrelid IN ('access_hourly'::regclass, 'access_daily'::regclass) AND v.attnum > 0 AND t.attnum > 0
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', col.view, col.name, col.says);
    END LOOP;
END
$$;

CREATE VIEW conservation AS
WITH sums AS (
    SELECT topic, partition, sum(requests)::bigint AS requests FROM segment GROUP BY topic, partition
), topics AS (
    SELECT topic, sum(counted - expired)::bigint AS counted FROM ingest_ledger GROUP BY topic
), sizes AS (
    -- kept_from: the first window that has all of its segments; rows before it are dropped, or about to be
    SELECT feed, topic, window_seconds,
           coalesce(date_bin(make_interval(secs => window_seconds), expired_before, 'epoch'::timestamptz)
                    + CASE WHEN date_bin(make_interval(secs => window_seconds), expired_before, 'epoch'::timestamptz)
                                < expired_before THEN make_interval(secs => window_seconds) ELSE '0' END,
                    '-infinity') AS kept_from
      FROM kpi_feed, unnest(windows) AS window_seconds
), dropped AS (
    -- segments of windows before that wait to be dropped, too
    SELECT sizes.feed, sizes.window_seconds, sum(segment.requests)::bigint AS requests
      FROM sizes JOIN segment ON segment.topic = sizes.topic AND segment.window_start < sizes.kept_from
     GROUP BY 1, 2
), rows AS (
    SELECT sizes.feed, sizes.window_seconds, sum(requests)::bigint AS requests
      FROM sizes JOIN access_kpi
           ON access_kpi.window_seconds = sizes.window_seconds AND access_kpi.window_start >= sizes.kept_from
     WHERE sizes.feed = 'access'
     GROUP BY 1, 2
), compared AS (
    SELECT 'lines = counted + rejected + late_dropped + duplicates' AS compares,
           topic, partition, NULL::integer AS window_seconds,
           lines AS expected, counted + rejected + late_dropped + duplicates AS actual
      FROM ingest_ledger
    UNION ALL
    SELECT 'counted - expired = requests of segments',
           topic, partition, NULL, coalesce(counted - expired, 0), coalesce(sums.requests, 0)
      FROM ingest_ledger FULL JOIN sums USING (topic, partition)
    UNION ALL
    SELECT 'counted - expired = requests of rows',
           topic, NULL, window_seconds, coalesce(topics.counted, 0) - coalesce(dropped.requests, 0),
           coalesce(rows.requests, 0)
      FROM sizes LEFT JOIN topics USING (topic)
                 LEFT JOIN dropped USING (feed, window_seconds) LEFT JOIN rows USING (feed, window_seconds)
)
SELECT compares, topic, partition, window_seconds, expected, actual, expected - actual AS difference FROM compared;
COMMENT ON VIEW conservation IS
    'Every line is in the books once: difference is 0 in every committed state for ledger and segments, and for '
    'rows of every size in KPI_WINDOWS as soon as merge has nothing left to do. What KPI_KEEP dropped is in expired.';
COMMENT ON COLUMN conservation.compares IS 'What the row compares: expected = actual.';
COMMENT ON COLUMN conservation.topic IS 'Topic of the raw records.';
COMMENT ON COLUMN conservation.partition IS 'Source partition; null where all of them are taken together.';
COMMENT ON COLUMN conservation.window_seconds IS 'Size of the windows compared; null where none are.';
COMMENT ON COLUMN conservation.expected IS 'Lines on the left side.';
COMMENT ON COLUMN conservation.actual IS 'Lines on the right side.';
COMMENT ON COLUMN conservation.difference IS 'expected - actual: above 0 lines are missing, below 0 some are there twice.';
