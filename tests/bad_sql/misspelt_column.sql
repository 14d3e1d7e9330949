-- expect: 4:39: column 'amout' not found in events; did you mean 'amount'?
-- purpose: a misspelt column
-- a comment
SELECT customer_id, window_start, SUM(amout) AS amount_sum, window_end
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
