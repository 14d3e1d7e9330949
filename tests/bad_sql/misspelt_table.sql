-- expect: 4:25: table 'event' not found; the only table is 'events'
SELECT customer_id, window_start, window_end,
  COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE event, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
