-- expect: 2:1: rollup sizes must ascend, each a multiple of the one before; got 3m after 2m
-- rollup: 2 MINUTES, 3 MINUTES
SELECT customer_id, window_start, window_end, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '2' MINUTE))
GROUP BY customer_id, window_start, window_end
