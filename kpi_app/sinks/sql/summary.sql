-- Queries of kpi_app/demo/summary.py. A query starts at "-- name --", its description follows.

-- totals --
-- What became of the lines of a topic ($1), and the span of what its base windows ($2 seconds) counted.
SELECT coalesce(sum(lines), 0)::bigint AS lines,
       coalesce(sum(counted), 0)::bigint AS counted,
       coalesce(sum(rejected), 0)::bigint AS rejected,
       coalesce(sum(late_dropped), 0)::bigint AS late_dropped,
       coalesce(sum(duplicates), 0)::bigint AS duplicates,
       (SELECT count(*) FROM access_kpi WHERE window_seconds = $2) AS windows,
       (SELECT min(first_event) FROM access_kpi WHERE window_seconds = $2) AS first_event,
       (SELECT max(last_event) FROM access_kpi WHERE window_seconds = $2) AS last_event,
       (SELECT coalesce(sum(abs(difference)), 0)::bigint FROM conservation) AS unaccounted
  FROM ingest_ledger WHERE topic = $1;

-- spans --
-- The base windows ($1 seconds) united to spans of $2 seconds; additive columns and the peak, which unite exactly.
SELECT date_bin(make_interval(secs => $2::integer), window_start, 'epoch'::timestamptz) AS span_start,
       sum(requests)::bigint AS requests,
       max(peak_requests_per_second) AS peak,
       sum(bytes_sent)::bigint AS bytes_sent,
       sum(status_2xx)::bigint AS status_2xx,
       sum(status_3xx)::bigint AS status_3xx,
       sum(status_4xx)::bigint AS status_4xx,
       sum(status_5xx)::bigint AS status_5xx,
       sum(late_requests)::bigint AS late_requests
  FROM access_kpi WHERE window_seconds = $1
 GROUP BY 1 ORDER BY 1;
