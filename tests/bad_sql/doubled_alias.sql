-- expect: 2:1: two columns are named 'n'; rename one
SELECT customer_id, window_start, window_end, COUNT(*) AS n, SUM(amount) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
