"""Window files that were not there before give rows with no Python edit, and the rows are Flink's own batch results."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flink_app.delivery import to_file
from flink_app.features_table import differences
from flink_app.generate import payments
from flink_app.local.places import ROOT
from tests import oracle
from tests.e2e_stage import MASKING_KEY, moment

pytestmark = pytest.mark.e2e

SEED, EVENTS, CUSTOMERS, RATE = 41, 8_000, 40, 40.0
KEPT = {"ttl.days": "36500"}  # the payments are of the past, and the local DynamoDB does delete what has expired
HEADER = "-- purpose: of a test\n-- grain:   one row per customer and window\n-- owner:   tests\n"
RICH = """SELECT
  customer_id,
  window_start,
  window_end,
  COUNT(*) FILTER (WHERE card_present)                      AS shown_count,
  MIN(amount)                                               AS amount_min,
  SUM(CASE WHEN channel = 'ecom' THEN amount ELSE 0 END)    AS ecom_sum,
  MAX(amount) / AVG(amount)                                 AS peak,
  SUM(CAST(amount AS DOUBLE)) / COUNT(*)                    AS amount_mean
FROM TABLE(HOP(TABLE events, DESCRIPTOR(event_time), INTERVAL '10' SECOND, INTERVAL '60' SECOND))
WHERE currency IN ('EUR', 'USD') AND amount > 0.5
GROUP BY customer_id, window_start, window_end
HAVING COUNT(*) > 2
"""
NATIVE = """SELECT
  customer_id,
  window_start,
  window_end,
  MAX(email)                  AS email_last,
  COUNT(DISTINCT email)       AS email_count
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY customer_id, window_start, window_end
"""
SESSION = """SELECT
  customer_id,
  window_start,
  window_end,
  COUNT(*)    AS session_count,
  SUM(amount) AS session_sum
FROM TABLE(SESSION(TABLE events PARTITION BY customer_id, DESCRIPTOR(event_time), INTERVAL '4' SECOND))
GROUP BY customer_id, window_start, window_end
"""
SESSION_IN_BATCH = """SELECT
  customer_id,
  MIN(moment)                        AS window_start,
  MAX(moment) + INTERVAL '4' SECOND  AS window_end,
  COUNT(*)                               AS session_count,
  SUM(amount)                            AS session_sum
FROM (
  SELECT *, SUM(is_first) OVER (PARTITION BY customer_id ORDER BY moment) AS session_number
  FROM (
    SELECT
      *,
      CASE
        WHEN moment <= LAG(moment) OVER (PARTITION BY customer_id ORDER BY moment) + INTERVAL '4' SECOND THEN 0 ELSE 1
      END AS is_first
    FROM (SELECT *, CAST(event_time AS TIMESTAMP(3)) AS moment FROM events)
  )
)
GROUP BY customer_id, session_number
"""  # Flink has no session windows in batch mode, so by hand: a pause of more than the gap begins a session


@pytest.fixture(scope="module")
def world(stage, tmp_path_factory):
    """A replay with all files; session and email run natively."""
    print(f"seed {SEED}")
    raw = tmp_path_factory.mktemp("dropped-in") / "raw.parquet"
    to_file(payments(seed=SEED, events=EVENTS, customers=CUSTOMERS, rate=RATE), raw)
    world = stage.world("dropped-in", Source={"kind": "archive", "path": str(raw.parent)}, Features=KEPT)
    files = {"rich": HEADER + RICH, "email": HEADER + NATIVE, "session": HEADER + SESSION}
    job = world.submit(stage.application("dropped-in", files), parallelism=2)
    assert stage.cluster.wait_ended(job, 180) == "FINISHED"
    return world


@pytest.fixture(scope="module")
def in_batch(world, flink_jvm, tmp_path_factory):
    """Runs a query over the accepted events as a Flink batch job: in_batch(name, sql) -> rows like `final_rows`."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    table = pq.read_table(next(Path(world.properties.source.path).iterdir()))
    arrivals = table.column("arrival_time").cast("int64").to_pylist()
    events, _ = oracle.accepted_events(list(zip(table.column("data").to_pylist(), arrivals, strict=True)))
    path = tmp_path_factory.mktemp("batch") / "events.json"
    path.write_text("\n".join(json.dumps(plain(event)) for event in events))
    batch = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    batch.get_config().set("table.local-time-zone", "UTC")
    batch.get_config().set("parallelism.default", "1")
    contract = (ROOT / "sql" / "events.sql").read_text().rpartition(";")[0].replace("COMMENT 'pii'", "")
    batch.execute_sql(
        f"{contract} WITH ('connector' = 'filesystem', 'path' = '{path.as_uri()}', 'format' = 'json',"
        " 'json.timestamp-format.standard' = 'ISO-8601')"
    )

    def rows(name, sql):
        counted = sql.replace("SELECT", "SELECT COUNT(*) AS revision,", 1)
        columns = [name for name in batch.sql_query(counted).get_schema().get_field_names() if name != "window_start"]
        listed = ", ".join(f"CAST({name} AS STRING)" if name == "window_end" else name for name in columns)
        found = {}
        with batch.execute_sql(f"SELECT {listed} FROM ({counted.strip().rstrip(';')})").collect() as result:
            for values in result:
                row = {name: value for name, value in zip(columns, values, strict=True) if value is not None}
                end = moment(datetime.fromisoformat(row.pop("window_end")))
                found[row.pop("customer_id"), f"{name}#{end}"] = row
        return found

    return rows


def plain(event):
    """The event as JSON that Flink's own format reads, masked with the standard library."""
    fields = {name: value for name, value in event.items() if name != "time"}
    fields["amount"] = str(event["amount"])
    fields["event_time"] = moment(datetime.fromtimestamp(event["time"] / 1000, UTC))
    if event.get("email") is not None:
        fields["email"] = hmac.new(MASKING_KEY.encode(), event["email"].encode(), hashlib.sha256).hexdigest()
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in fields.items()}


def assert_equal(found, name, wanted):
    """Everything exactly, DOUBLE to 1e-9."""
    found = {key: row for key, row in found.items() if key[1].startswith(f"{name}#")}
    assert found.keys() == wanted.keys(), f"seed {SEED}"
    for key, row in wanted.items():
        for column, value in row.items():
            close = pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
            assert found[key].get(column) == close, f"seed {SEED}: {key} {column}"
        assert found[key].keys() == row.keys()
    assert len(wanted) > 50


def test_a_rich_window_with_where_filter_case_arithmetic_and_having(world, in_batch):
    assert_equal(world.final_rows(), "rich", in_batch("rich", RICH))


@pytest.mark.parametrize(("name", "sql"), [("email", NATIVE), ("session", SESSION_IN_BATCH)])
def test_a_window_that_runs_natively_writes_each_row_once(world, in_batch, name, sql):
    once = {key: {**row, "revision": 1} for key, row in in_batch(name, sql).items()}
    assert_equal(world.final_rows(), name, once)


@pytest.mark.parametrize(
    ("stem", "feature_set", "size"),
    [
        ("card_velocity", "card_velocity", None),
        ("customer_spend", "customer_spend_1m", "1"),
        ("customer_spend", "customer_spend_5m", "5"),
        ("customer_spend", "customer_spend_15m", "15"),
    ],
)
def test_the_delivered_windows_equal_flink_batch_at_every_granularity(world, in_batch, stem, feature_set, size):
    sql = (ROOT / "sql" / "windows" / f"{stem}.sql").read_text()
    sql = sql.replace("INTERVAL '1' MINUTE", f"INTERVAL '{size}' MINUTE") if size else sql
    wanted = in_batch(feature_set, sql)
    assert_equal(world.final_rows(), feature_set, wanted)


def test_the_features_table_equals_the_final_rows_of_all_of_them(world):
    final = world.final_rows()
    assert {key[1].partition("#")[0] for key in final} >= {"rich", "email", "session", "card_velocity"}
    assert list(differences(world.items(), final)) == []
    assert set(world.history_rows().values()) == {1}
