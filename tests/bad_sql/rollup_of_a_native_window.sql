-- expect: 2:1: rollup needs a window that runs as slices; this one has a SESSION window
-- rollup: 1 MINUTE, 5 MINUTES
SELECT customer_id, window_start, window_end, COUNT(*) AS n
FROM TABLE(SESSION(TABLE events PARTITION BY customer_id, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
