-- expect: 2:1: The window function TUMBLE
SELECT customer_id, window_start, window_end, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(amount), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
