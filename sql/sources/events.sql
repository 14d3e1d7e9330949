-- purpose: accepted events, each once, for window files that run as native Flink SQL
-- grain:   one row per payment; the columns are those of the event contract
-- owner:   fraud-platform
SELECT r.*
FROM exits
CROSS JOIN LATERAL TABLE(ARROW_ROWS(batch, '${columns}')) AS r
WHERE `exit` = 'event';
