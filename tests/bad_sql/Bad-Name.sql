-- expect: the file name is the feature set: want [a-z][a-z0-9_]*.sql
SELECT customer_id, window_start, window_end
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
