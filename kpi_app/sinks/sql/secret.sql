-- Queries of kpi_app/sinks/secret.py. A query starts at "-- name --", its description follows.

-- offer_key --
-- Keeps a key unless there is one of that name; waits for who is keeping one.
INSERT INTO kpi_secret (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- read_key --
-- The key of a name.
SELECT value FROM kpi_secret WHERE name = $1;
