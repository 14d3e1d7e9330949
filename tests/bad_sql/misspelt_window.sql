-- expect: 3:12: unknown window function 'TUMBEL'; did you mean 'TUMBLE'?
SELECT customer_id, window_start, window_end, COUNT(*) AS n
FROM TABLE(TUMBEL(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
