-- purpose: sql/sinks/features.sql of the benchmark's copy of the application: live rows into files, since a table of a local AWS
--          would be measured, not the job
-- grain:   one row per live row, as DynamoDB would get it
-- owner:   fraud-platform
CREATE TEMPORARY TABLE features (
  ${columns}
) WITH (
  'connector' = 'filesystem',
  'path' = '@output@',
  'format' = 'parquet',
  'parquet.compression' = 'ZSTD'
);

INSERT INTO features (${live_names})
SELECT ${live_values}
FROM exits
CROSS JOIN LATERAL TABLE(ARROW_ROWS(batch, '${live_columns}')) AS r
WHERE `exit` = '${live_exit}';
