-- purpose: bursts on a card: how often, how much and at how many merchants in the last 30 seconds
-- grain:   one row per customer and 30-second window, a new window every 5 seconds
-- owner:   fraud-features
SELECT
  customer_id,
  window_start,
  window_end,
  COUNT(*)                    AS tx_count,       -- payments
  SUM(amount)                 AS amount_sum,     -- all payments together
  AVG(amount)                 AS amount_avg,     -- six digits behind the point
  MAX(amount)                 AS amount_max,     -- the largest payment
  COUNT(DISTINCT merchant_id) AS merchant_count  -- different merchants
FROM TABLE(HOP(TABLE events, DESCRIPTOR(event_time), INTERVAL '5' SECOND, INTERVAL '30' SECOND))
GROUP BY customer_id, window_start, window_end
