-- expect: 2:1: the query changes rows that it has written; group by window_start and window_end
SELECT customer_id, MIN(CAST(event_time AS TIMESTAMP(3))) AS window_start, MAX(CAST(event_time AS TIMESTAMP(3))) AS window_end, COUNT(*) AS n
FROM events GROUP BY customer_id
