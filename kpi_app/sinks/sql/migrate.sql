-- Queries of kpi_app/sinks/migrate.py. A query starts at "-- name --", its description follows.

-- version --
-- The server's major version.
SELECT current_setting('server_version_num')::integer / 10000;

-- lock --
-- Lets one worker at a time migrate, until its transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('kpi_app/migrate', 0));

-- has_book --
-- Whether anything was ever applied here.
SELECT to_regclass('kpi_migration') IS NOT NULL AS has_book;

-- open_book --
-- The migrations that were applied, with the hash of their text.
CREATE TABLE kpi_migration (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE kpi_migration IS 'Migrations that were applied.';
COMMENT ON COLUMN kpi_migration.name IS 'Name of the file.';
COMMENT ON COLUMN kpi_migration.sha256 IS 'SHA-256 of its bytes: an applied file must not change.';
COMMENT ON COLUMN kpi_migration.applied_at IS 'When it was applied.';

-- applied --
-- Names and hashes of what was applied.
SELECT name, sha256 FROM kpi_migration;

-- record --
-- Records that a file was applied.
INSERT INTO kpi_migration (name, sha256) VALUES ($1, $2);

-- knows_zone --
-- Raises invalid_parameter_value where Postgres does not know the time zone.
SELECT now() AT TIME ZONE $1;

-- write_setting --
-- Sets a setting that views depend on.
INSERT INTO kpi_setting AS old (name, value) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE old.value <> excluded.value;
