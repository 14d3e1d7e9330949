-- expect: 3:3: unknown function MEDIAN(<NUMERIC>)
SELECT customer_id, window_start, window_end,
  MEDIAN(amount) AS amount_median
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
