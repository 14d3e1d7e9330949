-- expect: 2:1: HOP table function based aggregate requires size must be an integral multiple of slide
SELECT customer_id, window_start, window_end, COUNT(*) AS n
FROM TABLE(HOP(TABLE events, DESCRIPTOR(event_time), INTERVAL '7' SECOND, INTERVAL '30' SECOND))
GROUP BY customer_id, window_start, window_end
