"""Flink SQL, fresh and corrected: every window row as it stands, updated by each payment, an upsert changelog out.

flink run --python flink_fresh.py INPUT OUTPUT [KEY=VALUE …]

Payments and de-duplication are those of flink_native.sql. Window functions only assign windows here; the GROUP BY over
all of them is an ordinary one, which updates, in mini-batches, and keeps as much state as windows overlap. The lateness
rule is in the WHERE of the events; what is too late for a closed window does not exist here.

Updates cannot go into Parquet. Its community would upsert into a database; a database would be measured too, so
the changelog is appended to text files, a row a line: cheaper than any table. Nothing here runs in Python.
"""

from __future__ import annotations

import re
import string
import sys
from pathlib import Path

from pyflink.common import Configuration, Encoder
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSink, RollingPolicy
from pyflink.table import DataTypes, Schema, StreamTableEnvironment
from pyflink.table.changelog_mode import ChangelogMode

SETTINGS = {
    "pipeline.name": "fresh",
    "pipeline.object-reuse": "true",
    "table.local-time-zone": "UTC",
    "table.exec.state.ttl": "20 min",  # the longest window, lateness and some more
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "1 s",
    "table.exec.mini-batch.size": "10000",
    "table.optimizer.agg-phase-strategy": "ONE_PHASE",  # a mini-batch is pre-aggregated in the operator itself
}
WINDOWS = {
    "card_velocity": "HOP(TABLE events, DESCRIPTOR(event_time), INTERVAL '5' SECOND, INTERVAL '30' SECOND)",
    "customer_spend_1m": "TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE)",
    "customer_spend_5m": "TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '5' MINUTE)",
    "customer_spend_15m": "TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '15' MINUTE)",
}
ASSIGNED = "\n UNION ALL ".join(
    f"SELECT CAST('{feature_set}' AS STRING) AS feature_set, customer_id, window_start, window_end,"
    f" amount, merchant_id, channel FROM TABLE({function})"
    for feature_set, function in WINDOWS.items()
)
QUERY = f"""
SELECT
  feature_set, customer_id, window_start, window_end,
  COUNT(*) AS tx_count,
  SUM(amount) AS amount_sum,
  CASE WHEN feature_set = 'card_velocity' THEN AVG(amount) END AS amount_avg,
  MAX(amount) AS amount_max,
  COUNT(DISTINCT merchant_id) AS merchant_count,
  CASE WHEN feature_set <> 'card_velocity' THEN SUM(amount) FILTER (WHERE channel = 'ecom') END AS ecom_amount_sum
FROM ({ASSIGNED})
GROUP BY feature_set, customer_id, window_start, window_end
"""
KEY = {
    "feature_set": DataTypes.STRING().not_null(),
    "customer_id": DataTypes.STRING().not_null(),
    "window_start": DataTypes.TIMESTAMP(3).not_null(),
    "window_end": DataTypes.TIMESTAMP(3).not_null(),
}
VALUES = {
    "tx_count": DataTypes.BIGINT(),
    "amount_sum": DataTypes.DECIMAL(38, 2),
    "amount_avg": DataTypes.DECIMAL(38, 6),
    "amount_max": DataTypes.DECIMAL(12, 2),
    "merchant_count": DataTypes.BIGINT(),
    "ecom_amount_sum": DataTypes.DECIMAL(38, 2),
}


def main(source: str, target: str, *options: str) -> None:
    configuration = Configuration()
    for key, value in {**SETTINGS, **dict(option.split("=", 1) for option in options)}.items():
        configuration.set_string(key, value)
    env = StreamExecutionEnvironment.get_execution_environment(configuration)
    tables = StreamTableEnvironment.create(env)
    for statement in payments_and_events(source):
        tables.execute_sql(statement)
    schema = Schema.new_builder()
    for name, of_type in {**KEY, **VALUES}.items():
        schema.column(name, of_type)
    changes = tables.to_changelog_stream(
        tables.sql_query(QUERY), schema.primary_key(*KEY).build(), ChangelogMode.upsert()
    )
    changes.sink_to(
        FileSink.for_row_format(target, Encoder.simple_string_encoder())
        .with_rolling_policy(RollingPolicy.on_checkpoint_rolling_policy())
        .build()
    )
    env.execute_async("fresh")


def payments_and_events(source: str) -> list[str]:
    """The CREATE statements of flink_native.sql that say what is read and what counts."""
    text = Path(__file__).resolve().with_name("flink_native.sql").read_text()
    script = string.Template(re.sub(r"^\s*--.*$", "", text, flags=re.MULTILINE)).substitute(input=source, output="")
    payments, events, *_ = map(str.strip, script.split(";"))
    return [payments, events]


if __name__ == "__main__":
    main(*sys.argv[1:])
