-- purpose: what the job is measured against: the same payments, lateness rule, de-duplication and windows in Flink SQL alone
-- grain:   the same final rows as the job, written once, when the watermark has passed
-- owner:   fraud-platform
--
-- The watermark follows arrival, as the job's does, so that no payment is dropped that the job counts. What is not here: a
-- quarantine, an account, live rows, masking.
CREATE TABLE payments (
  event_id     STRING,
  customer_id  STRING,
  merchant_id  STRING,
  amount       DECIMAL(12, 2),
  event_time   TIMESTAMP_LTZ(3),
  currency     STRING,
  country      STRING,
  channel      STRING,
  device_id    STRING,
  email        STRING,
  card_present BOOLEAN,
  arrival_ms   BIGINT,
  arrival_time AS TO_TIMESTAMP_LTZ(arrival_ms, 3),
  read_at      AS PROCTIME(),
  WATERMARK FOR event_time AS TO_TIMESTAMP_LTZ(arrival_ms - 120001, 3)
) WITH (
  'connector' = 'filesystem',
  'path' = '${input}',
  'format' = 'json',
  'json.ignore-parse-errors' = 'true',
  'json.timestamp-format.standard' = 'ISO-8601'
);

CREATE TEMPORARY VIEW events AS
SELECT event_id, customer_id, merchant_id, amount, event_time, channel
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY customer_id, event_id ORDER BY read_at) AS nth
  FROM payments
  WHERE event_id IS NOT NULL
    AND customer_id IS NOT NULL
    AND merchant_id IS NOT NULL
    AND amount IS NOT NULL
    AND event_time >= arrival_time - INTERVAL '2' MINUTE
    AND event_time <= arrival_time + INTERVAL '5' SECOND
)
WHERE nth = 1;

CREATE TABLE card_velocity (
  customer_id    STRING,
  window_start   TIMESTAMP(3),
  window_end     TIMESTAMP(3),
  tx_count       BIGINT,
  amount_sum     DECIMAL(38, 2),
  amount_avg     DECIMAL(38, 6),
  amount_max     DECIMAL(12, 2),
  merchant_count BIGINT,
  revision       BIGINT,
  feature_set    STRING,
  dt             STRING,
  `hour`         STRING
) PARTITIONED BY (feature_set, dt, `hour`)
WITH (
  'connector' = 'filesystem',
  'path' = '${output}',
  'format' = 'parquet',
  'parquet.compression' = 'ZSTD',
  'parquet.utc-timezone' = 'true',
  'parquet.write.int64.timestamp' = 'true',
  'parquet.timestamp.time.unit' = 'millis'
);

CREATE TABLE customer_spend (
  customer_id     STRING,
  window_start    TIMESTAMP(3),
  window_end      TIMESTAMP(3),
  tx_count        BIGINT,
  amount_sum      DECIMAL(38, 2),
  amount_max      DECIMAL(12, 2),
  merchant_count  BIGINT,
  ecom_amount_sum DECIMAL(38, 2),
  revision        BIGINT,
  feature_set     STRING,
  dt              STRING,
  `hour`          STRING
) PARTITIONED BY (feature_set, dt, `hour`)
WITH (
  'connector' = 'filesystem',
  'path' = '${output}',
  'format' = 'parquet',
  'parquet.compression' = 'ZSTD',
  'parquet.utc-timezone' = 'true',
  'parquet.write.int64.timestamp' = 'true',
  'parquet.timestamp.time.unit' = 'millis'
);

INSERT INTO card_velocity
SELECT
  customer_id, window_start, window_end,
  COUNT(*), SUM(amount), AVG(amount), MAX(amount), COUNT(DISTINCT merchant_id), COUNT(*),
  'card_velocity', DATE_FORMAT(window_end, 'yyyy-MM-dd'), DATE_FORMAT(window_end, 'HH')
FROM TABLE(HOP(TABLE events, DESCRIPTOR(event_time), INTERVAL '5' SECOND, INTERVAL '30' SECOND))
GROUP BY customer_id, window_start, window_end;

INSERT INTO customer_spend
SELECT
  customer_id, window_start, window_end,
  COUNT(*), SUM(amount), MAX(amount), COUNT(DISTINCT merchant_id), SUM(amount) FILTER (WHERE channel = 'ecom'), COUNT(*),
  'customer_spend_1m', DATE_FORMAT(window_end, 'yyyy-MM-dd'), DATE_FORMAT(window_end, 'HH')
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end;

INSERT INTO customer_spend
SELECT
  customer_id, window_start, window_end,
  COUNT(*), SUM(amount), MAX(amount), COUNT(DISTINCT merchant_id), SUM(amount) FILTER (WHERE channel = 'ecom'), COUNT(*),
  'customer_spend_5m', DATE_FORMAT(window_end, 'yyyy-MM-dd'), DATE_FORMAT(window_end, 'HH')
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '5' MINUTE))
GROUP BY customer_id, window_start, window_end;

INSERT INTO customer_spend
SELECT
  customer_id, window_start, window_end,
  COUNT(*), SUM(amount), MAX(amount), COUNT(DISTINCT merchant_id), SUM(amount) FILTER (WHERE channel = 'ecom'), COUNT(*),
  'customer_spend_15m', DATE_FORMAT(window_end, 'yyyy-MM-dd'), DATE_FORMAT(window_end, 'HH')
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '15' MINUTE))
GROUP BY customer_id, window_start, window_end;
