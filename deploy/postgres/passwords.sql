-- Gives the roles of roles.sql their passwords, from the environment of psql: POSTGRES_OWNER_PASSWORD,
-- POSTGRES_WRITER_PASSWORD, POSTGRES_READER_PASSWORD. Run by a superuser, again to change them; needs psql 14 or newer:
--
--     psql -X -v ON_ERROR_STOP=1 -f deploy/postgres/passwords.sql

\set ON_ERROR_STOP on
\getenv owner POSTGRES_OWNER_PASSWORD
\getenv writer POSTGRES_WRITER_PASSWORD
\getenv reader POSTGRES_READER_PASSWORD

-- the server's log shall not have them, whatever it is told to log
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';

-- one that is not set is a syntax error, and nothing changes
BEGIN;
ALTER ROLE kpi_owner PASSWORD :'owner';
ALTER ROLE kpi_writer PASSWORD :'writer';
ALTER ROLE kpi_reader PASSWORD :'reader';
COMMIT;
