-- purpose: rows of a window file that runs as native Flink SQL: final rows only, into the same tables
-- grain:   one row per customer and window
-- owner:   fraud-platform
--
-- Written once, when the watermark has passed, so the revision is always 1.
INSERT INTO features (customer_id, feature_window, feature_set, window_start, window_end, revision, emitted_at, expires_at, ${names})
SELECT
  customer_id,
  '${name}#' || DATE_FORMAT(window_end, IF(MOD(EXTRACT(MILLISECOND FROM window_end), 1000) = 0, 'yyyy-MM-dd''T''HH:mm:ss''Z''', 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''')),
  '${name}',
  DATE_FORMAT(window_start, IF(MOD(EXTRACT(MILLISECOND FROM window_start), 1000) = 0, 'yyyy-MM-dd''T''HH:mm:ss''Z''', 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''')),
  DATE_FORMAT(window_end, IF(MOD(EXTRACT(MILLISECOND FROM window_end), 1000) = 0, 'yyyy-MM-dd''T''HH:mm:ss''Z''', 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''')),
  CAST(1 AS BIGINT),
  UNIX_TIMESTAMP() * 1000,
  UNIX_TIMESTAMP(DATE_FORMAT(window_end, 'yyyy-MM-dd HH:mm:ss')) + ${item_ttl_seconds},
  ${names}
FROM native_${name};

INSERT INTO history_${name} (customer_id, window_start, window_end, ${names}, revision, feature_set, dt, `hour`)
SELECT
  customer_id,
  window_start,
  window_end,
  ${names},
  CAST(1 AS BIGINT),
  '${name}',
  DATE_FORMAT(window_end, 'yyyy-MM-dd'),
  DATE_FORMAT(window_end, 'HH')
FROM native_${name};
