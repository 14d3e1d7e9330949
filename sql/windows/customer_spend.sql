-- purpose: what a customer spends, for the model's baseline; the same query at three granularities
-- grain:   one row per customer and 1, 5 and 15 minutes
-- owner:   fraud-features
-- rollup:  1 MINUTE, 5 MINUTES, 15 MINUTES
SELECT
  customer_id,
  window_start,
  window_end,
  COUNT(*)                                      AS tx_count,       -- payments
  SUM(amount)                                   AS amount_sum,     -- all payments together
  MAX(amount)                                   AS amount_max,     -- the largest payment
  COUNT(DISTINCT merchant_id)                   AS merchant_count, -- different merchants, exact at every granularity
  SUM(amount) FILTER (WHERE channel = 'ecom')   AS ecom_amount_sum -- online payments together; absent without one
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
