-- expect: 2:1: the first size must be the query's own, 1m, got 2m
-- rollup: 2 MINUTES, 4 MINUTES
SELECT customer_id, window_start, window_end, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
