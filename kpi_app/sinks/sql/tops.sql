-- Queries of kpi_app/sinks/tops.py. A query starts at "-- name --", its description follows.
-- {table}, {columns} and their like are filled in from the feed's declaration, never from data.

-- write_tops --
-- Publishes the lists of some windows ($2) of one size ($1): deletes values that are no longer listed, writes those that
-- changed. A row's window and dimension are given by their number in $2 and in $3, the names of the dimensions.
WITH new AS MATERIALIZED (
    SELECT ($2::timestamptz[])[list] AS window_start, ($3::text[])[dimension] AS dimension, value, {columns}
      FROM unnest($4::text::integer[], $5::text::integer[], $6::text::text[], {arrays}) AS rows (list, dimension, value, {columns})
), gone AS (
    DELETE FROM {table} AS old
     WHERE old.window_seconds = $1 AND old.window_start = ANY ($2::timestamptz[])
       AND NOT EXISTS (SELECT FROM new WHERE new.window_start = old.window_start
                          AND new.dimension = old.dimension AND new.value = old.value)
)
INSERT INTO {table} AS old (window_start, window_seconds, dimension, value, {columns})
SELECT window_start, $1::integer, dimension, value, {columns} FROM new ORDER BY window_start, dimension, value
ON CONFLICT (window_start, window_seconds, dimension, value) DO UPDATE SET ({columns}) = ROW ({new})
 WHERE ({old}) IS DISTINCT FROM ({new});
