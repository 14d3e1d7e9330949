-- expect: 3:14: unexpected 'n'
SELECT customer_id, window_start, window_end,
  COUNT(*) A n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
