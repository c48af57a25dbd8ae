-- Files that lines came from, as far as their records say so: what of each has arrived, and what has not.

CREATE TABLE source_file (
    topic text NOT NULL,
    partition integer NOT NULL,
    file_key bytea NOT NULL,
    host text NOT NULL,
    path text NOT NULL,
    file text NOT NULL,
    "offset" bigint NOT NULL,
    first_offset bigint NOT NULL,
    next_offset bigint NOT NULL,
    below bigint NOT NULL,
    arrived int8multirange NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (topic, partition, file_key)
) WITH (fillfactor = 50);  -- room beside a row for its next version; a long `arrived` is kept elsewhere (TOAST)
COMMENT ON TABLE source_file IS
    'What each source partition has seen of each file, as of the offset in its ledger row: of the 1,024 latest files.';
COMMENT ON COLUMN source_file.topic IS 'Topic of the raw records.';
COMMENT ON COLUMN source_file.partition IS 'Source partition.';
COMMENT ON COLUMN source_file.file_key IS 'Stands for host, path and file in full: 16 bytes of BLAKE2b.';
COMMENT ON COLUMN source_file.host IS 'Host that the file is on, at most 512 bytes.';
COMMENT ON COLUMN source_file.path IS 'Path that its lines were written to, at most 512 bytes.';
COMMENT ON COLUMN source_file.file IS 'Tells files of that path from each other, at most 512 bytes.';
COMMENT ON COLUMN source_file."offset" IS 'Offset in the partition of its latest line that was no duplicate.';
COMMENT ON COLUMN source_file.first_offset IS 'First byte of the first of its lines that came.';
COMMENT ON COLUMN source_file.next_offset IS 'First byte behind the last of its lines that came.';
COMMENT ON COLUMN source_file.below IS 'Bytes that came and are before those in arrived.';
COMMENT ON COLUMN source_file.arrived IS 'Bytes that came: the last 1,024 stretches of them.';
COMMENT ON COLUMN source_file.updated_at IS 'When the row was written.';

CREATE VIEW completeness AS
WITH files AS (
    SELECT topic, file_key, min(host) AS host, min(path) AS path, min(file) AS file, count(*)::integer AS partitions,
           min(first_offset) AS first_offset, max(next_offset) AS next_offset, sum(below)::bigint AS below,
           max(updated_at) AS updated_at
      FROM source_file GROUP BY topic, file_key
), pieces AS (
    -- a line that two partitions have is there once
    SELECT topic, file_key, unnest(range_agg(piece)) AS piece
      FROM source_file, unnest(arrived) AS piece GROUP BY topic, file_key
), sums AS (
    SELECT topic, file_key, sum(upper(piece) - lower(piece))::bigint AS bytes FROM pieces GROUP BY topic, file_key
)
SELECT topic, host, path, file, partitions, first_offset, next_offset,
       below + coalesce(bytes, 0) AS arrived_bytes,
       greatest(next_offset - first_offset - below - coalesce(bytes, 0), 0) AS missing_bytes,
       updated_at
  FROM files LEFT JOIN sums USING (topic, file_key);
COMMENT ON VIEW completeness IS
    'What arrived of each file whose records say where their lines are from, over all partitions. What one partition '
    'has read and another has not yet shows as missing meanwhile.';
COMMENT ON COLUMN completeness.topic IS 'Topic of the raw records.';
COMMENT ON COLUMN completeness.host IS 'Host that the file is on.';
COMMENT ON COLUMN completeness.path IS 'Path that its lines were written to.';
COMMENT ON COLUMN completeness.file IS 'Tells files of that path from each other.';
COMMENT ON COLUMN completeness.partitions IS 'Source partitions that its lines came in.';
COMMENT ON COLUMN completeness.first_offset IS 'First byte of the first of its lines that came; nothing is known before.';
COMMENT ON COLUMN completeness.next_offset IS 'First byte behind the last of its lines that came.';
COMMENT ON COLUMN completeness.arrived_bytes IS 'Bytes of the lines that came, rejected ones among them, each once.';
COMMENT ON COLUMN completeness.missing_bytes IS 'Bytes between the first and the last line that did not come.';
COMMENT ON COLUMN completeness.updated_at IS 'When the latest of its lines was written here.';
