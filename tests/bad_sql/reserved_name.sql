-- expect: 2:1: column 'revision' is reserved
SELECT customer_id, window_start, window_end, COUNT(*) AS revision
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
