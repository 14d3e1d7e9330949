-- expect: 2:1: unknown header '-- rolup:'; did you mean '-- rollup:'?
-- rolup: 1 MINUTE
SELECT customer_id, window_start, window_end, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
