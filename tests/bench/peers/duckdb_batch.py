"""The ceiling of the machine: DuckDB over the whole file at once; a batch, so no watermark, no state, no checkpoint.

python duckdb_batch.py LINES OUTPUT THREADS
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

EVENTS = """
CREATE TABLE events AS
SELECT customer_id, merchant_id, CAST(amount * 100 AS BIGINT) AS cents, epoch_ms(event_time) AS event_ms,
  channel = 'ecom' AS is_ecom
FROM read_json(
  $lines, format = 'newline_delimited', ignore_errors = true,
  columns = {
    arrival_ms: 'BIGINT', event_id: 'VARCHAR', customer_id: 'VARCHAR', merchant_id: 'VARCHAR', amount: 'DECIMAL(12, 2)',
    event_time: 'TIMESTAMP', channel: 'VARCHAR'
  }
)
WHERE event_id IS NOT NULL AND customer_id IS NOT NULL AND merchant_id IS NOT NULL AND amount IS NOT NULL
  AND arrival_ms - epoch_ms(event_time) BETWEEN -5_000 AND 120_000
QUALIFY row_number() OVER (PARTITION BY customer_id, event_id ORDER BY arrival_ms) = 1
"""

ROWS = """
COPY (
  SELECT
    '{feature_set}' AS feature_set, strftime(make_timestamp_ms(window_end), '%Y-%m-%d') AS dt,
    strftime(make_timestamp_ms(window_end), '%H') AS "hour",
    customer_id, make_timestamp_ms(window_end - {size}) AS window_start, make_timestamp_ms(window_end) AS window_end,
    count(*) AS tx_count, CAST(sum(cents) AS DECIMAL(36, 0)) * 0.01 AS amount_sum, {own},
    CAST(max(cents) AS DECIMAL(12, 0)) * 0.01 AS amount_max, count(DISTINCT merchant_id) AS merchant_count,
    count(*) AS revision
  FROM (
    SELECT *, (event_ms // {slide} + 1 + step) * {slide} AS window_end FROM events, range({size} // {slide}) AS _(step)
  )
  GROUP BY customer_id, window_end
) TO '{output}' (
  FORMAT parquet, COMPRESSION zstd, PARTITION_BY (feature_set, dt, "hour"), FILENAME_PATTERN 'part-{{i}}',
  OVERWRITE_OR_IGNORE
)
"""

# millionths, rounded half away from zero in whole numbers: DuckDB's avg of a DECIMAL is a DOUBLE
MEAN = """
  CAST(sign(sum(cents)) * ((abs(sum(cents)) * 20_000 + count(*)) // (2 * count(*))) AS DECIMAL(32, 0)) * 0.000001
  AS amount_avg"""
ECOM = "CAST(sum(cents) FILTER (WHERE is_ecom) AS DECIMAL(36, 0)) * 0.01 AS ecom_amount_sum"

WINDOWS = (
    ("card_velocity", 30_000, 5_000, MEAN),
    ("customer_spend_1m", 60_000, 60_000, ECOM),
    ("customer_spend_5m", 300_000, 300_000, ECOM),
    ("customer_spend_15m", 900_000, 900_000, ECOM),
)


def main(lines: str, output: str, threads: str) -> None:
    Path(output).mkdir(parents=True, exist_ok=True)
    with duckdb.connect(config={"threads": threads, "preserve_insertion_order": "false"}) as db:
        db.execute(EVENTS, {"lines": lines})
        for feature_set, size, slide, own in WINDOWS:
            db.execute(ROWS.format(feature_set=feature_set, size=size, slide=slide, own=own, output=output))


if __name__ == "__main__":
    print("ready", flush=True)
    main(*sys.argv[1:4])
