-- purpose: every record that is not counted, raw bytes intact, with the reason and what was wrong
-- grain:   one row per rejected record
-- owner:   fraud-platform
CREATE TEMPORARY TABLE quarantine (
  data            BYTES,
  arrival_time    TIMESTAMP_LTZ(3),
  shard_id        STRING,
  sequence_number STRING,
  reason          STRING,                            -- malformed, future, too_late, window_closed
  detail          STRING,                            -- the field and what was wrong with it
  dt              STRING,
  `hour`          STRING
) PARTITIONED BY (reason, dt, `hour`)                -- by arrival, UTC
WITH (
  'connector' = 'filesystem',
  'path' = '${path}',
  'format' = 'parquet',
  'parquet.compression' = 'ZSTD',
  'parquet.utc-timezone' = 'true',
  'parquet.write.int64.timestamp' = 'true',
  'parquet.timestamp.time.unit' = 'millis'
);

INSERT INTO quarantine
SELECT
  r.data,
  r.arrival_time,
  r.shard_id,
  r.sequence_number,
  r.reason,
  r.detail,
  DATE_FORMAT(r.arrival_time, 'yyyy-MM-dd'),
  DATE_FORMAT(r.arrival_time, 'HH')
FROM (
  SELECT batch FROM gated WHERE bucket = ${rejected_bucket}    -- the gate's: malformed, future, too_late
  UNION ALL
  SELECT batch FROM exits WHERE `exit` = 'rejected'  -- the windows': window_closed
)
CROSS JOIN LATERAL TABLE(ARROW_ROWS(batch, '${columns}')) AS r;
