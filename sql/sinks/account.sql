-- purpose: where the records went: law 1 adds these up with the quarantine and the raw archive
-- grain:   one row per customer bucket and accounting period; the sums count since the row before
-- owner:   fraud-platform
CREATE TEMPORARY TABLE account (
  ${columns}
) PARTITIONED BY (dt, `hour`)
WITH (
  'connector' = 'filesystem',
  'path' = '${path}',
  'format' = 'parquet',
  'parquet.compression' = 'ZSTD',
  'parquet.utc-timezone' = 'true',
  'parquet.write.int64.timestamp' = 'true',
  'parquet.timestamp.time.unit' = 'millis'
);

INSERT INTO account
SELECT r.*
FROM exits
CROSS JOIN LATERAL TABLE(ARROW_ROWS(batch, '${columns}')) AS r
WHERE `exit` = 'account';
