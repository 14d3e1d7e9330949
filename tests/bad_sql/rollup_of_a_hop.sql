-- expect: 2:1: rollup needs TUMBLE, got HOP
-- rollup: 30 SECONDS, 1 MINUTE
SELECT customer_id, window_start, window_end, COUNT(*) AS n
FROM TABLE(HOP(TABLE events, DESCRIPTOR(event_time), INTERVAL '5' SECOND, INTERVAL '30' SECOND))
GROUP BY customer_id, window_start, window_end
