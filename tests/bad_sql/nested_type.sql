-- expect: 2:1: column 'all' is ARRAY<
SELECT customer_id, window_start, window_end, ARRAY[COUNT(*)] AS `all`
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
