-- purpose: every record of the stream, raw, to replay and to reprocess from (Source: kind = archive)
-- grain:   one row per record
-- owner:   fraud-platform
CREATE TEMPORARY TABLE archive (
  data            BYTES,
  arrival_time    TIMESTAMP_LTZ(3),
  shard_id        STRING,
  sequence_number STRING,
  dt              STRING,
  `hour`          STRING
) PARTITIONED BY (dt, `hour`)                        -- by arrival, UTC
WITH (
  'connector' = 'filesystem',
  'path' = '${path}',
  'format' = 'parquet',
  'parquet.compression' = 'ZSTD',
  'parquet.block.size' = '16777216',                 -- a replay reads and checkpoints row group by row group
  'parquet.utc-timezone' = 'true',
  'parquet.write.int64.timestamp' = 'true',
  'parquet.timestamp.time.unit' = 'millis'
);

INSERT INTO archive
SELECT
  data,
  arrival_time,
  shard_id,
  sequence_number,
  DATE_FORMAT(arrival_time, 'yyyy-MM-dd'),
  DATE_FORMAT(arrival_time, 'HH')
FROM records;
