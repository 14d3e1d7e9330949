-- expect: 2:1: column 'tx_count' is STRING here and BIGINT in sql/windows/card_velocity.sql
SELECT customer_id, window_start, window_end, CAST(COUNT(*) AS STRING) AS tx_count
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
