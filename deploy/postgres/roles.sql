-- The roles: kpi_owner owns the schema and migrates it, kpi_writer is the workers', kpi_reader is everybody else's.
--
-- Run by a superuser in the database of the KPIs, before `kpi migrate`; again whenever you like. Plain SQL, so that
-- CloudNativePG runs it, too (bootstrap.initdb.postInitApplicationSQLRefs). A role has no password, and can't log in
-- with one, until passwords.sql or an operator gives it one. What each may do with the tables is in grants.sql.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY ['kpi_owner', 'kpi_writer', 'kpi_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I', name);
        END IF;
        EXECUTE format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', name);
    END LOOP;
    EXECUTE format('ALTER DATABASE %I OWNER TO kpi_owner', current_database());
    -- by default everybody may connect and make temporary tables
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO kpi_writer, kpi_reader', current_database());
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO kpi_owner;
GRANT USAGE ON SCHEMA public TO kpi_writer, kpi_reader;

-- A dashboard's or a person's query that went wrong must not hold up the workers. These are defaults, which a session
-- may change; that it can't write, and how many sessions there may be, it can't.
ALTER ROLE kpi_reader CONNECTION LIMIT 30;
ALTER ROLE kpi_reader SET statement_timeout = '30s';
ALTER ROLE kpi_reader SET idle_in_transaction_session_timeout = '60s';  -- it would keep dead rows from vacuum
ALTER ROLE kpi_reader SET default_transaction_read_only = on;
