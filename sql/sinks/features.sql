-- purpose: live rows, as the model reads them: the newest value of every (customer, feature set, window)
-- grain:   one item per customer and feature_window; the union of all window files' columns, a NULL is an absent attribute
-- owner:   fraud-platform
CREATE TEMPORARY TABLE features (
  ${columns}
) PARTITIONED BY (customer_id, feature_window)       -- of equal keys in a batch the last one wins
WITH (
  'connector' = 'dynamodb',
  'table-name' = '${table}',
  'aws.region' = '${region}',
  ${endpoint}
  'aws.credentials.provider' = 'AUTO',
  'sink.batch.max-size' = '25',                      -- what BatchWriteItem takes
  'sink.requests.max-inflight' = '1',                -- more would let an older row overtake a newer one: more sinks instead
  'sink.requests.max-buffered' = '10000',
  'sink.flush-buffer.timeout' = '100'                -- milliseconds a row waits for its batch to fill
);

INSERT INTO features (${live_names})
SELECT ${live_values}
FROM exits
CROSS JOIN LATERAL TABLE(ARROW_ROWS(batch, '${live_columns}')) AS r
WHERE `exit` = '${live_exit}';
