-- purpose: final rows of one window file, for training and audits
-- grain:   one row per customer, feature set and window
-- owner:   fraud-platform
CREATE TEMPORARY TABLE history_${name} (
  ${columns}
) PARTITIONED BY (feature_set, dt, `hour`)           -- by window_end, UTC
WITH (
  'connector' = 'filesystem',
  'path' = '${path}',
  'format' = 'parquet',
  'parquet.compression' = 'ZSTD',
  'parquet.utc-timezone' = 'true',
  'parquet.write.int64.timestamp' = 'true',
  'parquet.timestamp.time.unit' = 'millis'
);

INSERT INTO history_${name}
SELECT r.*
FROM exits
CROSS JOIN LATERAL TABLE(ARROW_ROWS(batch, '${columns}')) AS r
WHERE `exit` = 'final:${name}';
