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
    window_seconds integer NOT NULL CHECK (window_seconds > 0),
    started_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE kpi_feed IS 'What the stored state of each feed was made with; a worker that differs is stopped.';
COMMENT ON COLUMN kpi_feed.feed IS 'Name of the feed.';
COMMENT ON COLUMN kpi_feed.topic IS 'Topic of its raw records.';
COMMENT ON COLUMN kpi_feed.window_seconds IS 'Size of its base windows, which its segments are of.';
COMMENT ON COLUMN kpi_feed.started_at IS 'When its first worker started.';

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
    watermark timestamptz,
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
COMMENT ON COLUMN ingest_ledger.watermark IS 'Greatest event time accepted; null before the first.';
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
ALTER TABLE segment ALTER COLUMN state SET STORAGE EXTERNAL;  -- it is deflated already
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
    window_seconds integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);  -- a queue: all rows die young
-- no unique key: a mark that finds its like must not be dropped while a merge is about to delete that one
CREATE INDEX dirty_window_key ON dirty_window (topic, window_seconds, window_start);
COMMENT ON TABLE dirty_window IS 'Marks, only ever appended: windows that changed since they were merged last.';
COMMENT ON COLUMN dirty_window.topic IS 'Topic of the raw records.';
COMMENT ON COLUMN dirty_window.window_start IS 'Start of the window.';
COMMENT ON COLUMN dirty_window.window_seconds IS 'Size of the window.';

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
    late_requests bigint NOT NULL,
    first_event timestamptz,
    last_event timestamptz,
    closed boolean NOT NULL,
    revision integer NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (window_start, window_seconds)
) WITH (fillfactor = 80);
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
COMMENT ON COLUMN access_kpi.late_requests IS 'Of requests, those that were late.';
COMMENT ON COLUMN access_kpi.first_event IS 'Earliest event time counted.';
COMMENT ON COLUMN access_kpi.last_event IS 'Latest event time counted.';
COMMENT ON COLUMN access_kpi.closed IS
    'Every source partition has passed the window. Never reverts; what still comes are corrections.';
COMMENT ON COLUMN access_kpi.revision IS '0 while open, then +1 for each change published after closing.';
COMMENT ON COLUMN access_kpi.updated_at IS 'When the row was written.';

CREATE VIEW access_load AS
WITH zone AS (
    SELECT coalesce((SELECT value FROM kpi_setting WHERE name = 'timezone'), 'UTC') AS name
), hours AS (
    SELECT date_trunc('hour', window_start, zone.name) AS hour_start,
           sum(requests)::bigint AS requests,
           max(peak_requests_per_second) AS peak
      FROM access_kpi, zone
      -- each line once: of several sizes, the base
     WHERE window_seconds = (SELECT window_seconds FROM kpi_feed WHERE feed = 'access')
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

CREATE VIEW conservation AS
WITH sums AS (
    SELECT topic, partition, sum(requests)::bigint AS requests FROM segment GROUP BY topic, partition
), topics AS (
    SELECT topic, sum(counted)::bigint AS counted FROM ingest_ledger GROUP BY topic
), rows AS (
    SELECT 'access' AS feed, window_seconds, sum(requests)::bigint AS requests FROM access_kpi GROUP BY window_seconds
), sizes AS (
    SELECT feed, window_seconds FROM kpi_feed UNION SELECT feed, window_seconds FROM rows
), compared AS (
    SELECT 'lines = counted + rejected + late_dropped + duplicates' AS compares,
           topic, partition, NULL::integer AS window_seconds,
           lines AS expected, counted + rejected + late_dropped + duplicates AS actual
      FROM ingest_ledger
    UNION ALL
    SELECT 'counted = requests of segments',
           topic, partition, NULL, coalesce(ingest_ledger.counted, 0), coalesce(sums.requests, 0)
      FROM ingest_ledger FULL JOIN sums USING (topic, partition)
    UNION ALL
    SELECT 'counted = requests of rows',
           topic, NULL, sizes.window_seconds, coalesce(topics.counted, 0), coalesce(rows.requests, 0)
      FROM sizes JOIN kpi_feed USING (feed) LEFT JOIN topics USING (topic) LEFT JOIN rows
           ON rows.feed = sizes.feed AND rows.window_seconds = sizes.window_seconds
)
SELECT compares, topic, partition, window_seconds, expected, actual, expected - actual AS difference FROM compared;
COMMENT ON VIEW conservation IS
    'Every line is in the books once: difference is 0 in every committed state for ledger and segments, and for '
    'rows as soon as merge has nothing left to do.';
COMMENT ON COLUMN conservation.compares IS 'What the row compares: expected = actual.';
COMMENT ON COLUMN conservation.topic IS 'Topic of the raw records.';
COMMENT ON COLUMN conservation.partition IS 'Source partition; null where all of them are taken together.';
COMMENT ON COLUMN conservation.window_seconds IS 'Size of the windows compared; null where none are.';
COMMENT ON COLUMN conservation.expected IS 'Lines on the left side.';
COMMENT ON COLUMN conservation.actual IS 'Lines on the right side.';
COMMENT ON COLUMN conservation.difference IS 'expected - actual: above 0 lines are missing, below 0 some are there twice.';
