-- expect: 2:47: Cannot apply 'SUM' to arguments of type 'SUM(<STRING>)'
SELECT customer_id, window_start, window_end, SUM(channel) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
