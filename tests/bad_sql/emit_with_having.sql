-- expect: 2:1: emit with HAVING; a live row, once written, cannot be taken back
-- emit: EVERY 5 SECONDS
SELECT customer_id, window_start, window_end, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end HAVING COUNT(*) > 1
