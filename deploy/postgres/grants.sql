-- What kpi_writer and kpi_reader may do with each table. Run by kpi_owner after each `kpi migrate`; again whenever you
-- like: it takes all rights away and gives these, in one transaction. A table that is new and not named here is
-- nobody's but the owner's.

BEGIN;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, kpi_writer, kpi_reader;

-- The workers: what flush, merge, compaction and retention do, and no more. They change no schema, and they delete
-- neither books nor claims: `kpi reset` and `kpi migrate` are the owner's.
GRANT SELECT, INSERT, UPDATE ON ingest_ledger, kpi_feed TO kpi_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON segment, dirty_window, source_file, access_kpi, access_kpi_by TO kpi_writer;
GRANT SELECT, INSERT ON kpi_secret TO kpi_writer;
GRANT SELECT ON kpi_migration, kpi_setting, access_load, access_hourly, access_daily, conservation, completeness
    TO kpi_writer;

-- People, dashboards and `kpi report`: what is published, and the books. Not the key that visitors are told apart by
-- (kpi_secret), and not the workers' own state (segment, source_file); the views read these with the owner's rights.
GRANT SELECT ON access_kpi, access_kpi_by, access_load, access_hourly, access_daily TO kpi_reader;
GRANT SELECT ON ingest_ledger, conservation, completeness, dirty_window, kpi_feed, kpi_setting, kpi_migration
    TO kpi_reader;

COMMIT;
