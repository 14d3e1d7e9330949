-- expect: 2:1: emit 'SOMETIMES' is not understood; want 'EVERY 5 SECONDS'
-- emit: SOMETIMES
SELECT customer_id, window_start, window_end, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
