-- expect: 2:1: no feature in the SELECT
SELECT customer_id, window_start, window_end
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
