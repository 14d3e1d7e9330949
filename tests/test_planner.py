"""The SQL folder through Flink's planner: what runs as slices, what natively and why, and what is refused, where."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.flink

HERE = Path(__file__).resolve().parent
SQL = HERE.parent / "sql"
TUMBLE = "TABLE(TUMBLE(TABLE events, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))"
HOP = "TABLE(HOP(TABLE events, DESCRIPTOR(event_time), INTERVAL '10' SECOND, INTERVAL '60' SECOND))"
KEYS = "customer_id, window_start, window_end"


@pytest.fixture(scope="module")
def planning():
    from flink_app.planner import planning_environment

    return planning_environment(short_lived=True)


@pytest.fixture(scope="module")
def contract(planning):
    from flink_app.contract_sql import read_contract

    return read_contract(SQL / "events.sql", planning, Path("sql/events.sql"))


@pytest.fixture(scope="module")
def plan(planning, contract):
    """Plans texts as window files: plan(name=sql, …) -> tuple[PlannedWindow, …]."""
    from flink_app.planner import plan_windows
    from flink_app.window_files import parse_window_file

    def planned(**texts):
        files = [parse_window_file(Path(f"sql/windows/{name}.sql"), text) for name, text in texts.items()]
        return plan_windows(files, contract, planning)

    return planned


def query(select: str, source: str = TUMBLE, rest: str = "") -> str:
    return f"SELECT {KEYS}, {select} FROM {source} {rest} GROUP BY {KEYS}"


JOINED = (
    f"SELECT a.customer_id, a.window_start, a.window_end, a.n, b.s FROM ({query('COUNT(*) AS n')}) a"
    f" JOIN ({query('SUM(amount) AS s')}) b"
    " ON a.customer_id = b.customer_id AND a.window_start = b.window_start AND a.window_end = b.window_end"
)


def test_the_contract_has_the_columns_types_and_lateness_of_its_file(contract):
    assert contract.table == "events"
    assert contract.lateness_ms == 120_000
    assert [column.name for column in contract.columns if not column.nullable] == list(contract.names[:5])
    assert [column.name for column in contract.columns if column.pii] == ["email"]
    assert contract.columns[3].type == "DECIMAL(12, 2)"
    assert contract.columns[4].type == "TIMESTAMP_LTZ(3)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CREATE TABLE events (a STRING,, b INT)", r"events\.sql:1:31: "),
        ("CREATE TABLE events (event_id STRING NOT NULL)", "no WATERMARK clause"),
        ("SELECT 1", "want one CREATE TABLE"),
        ("CREATE TABLE t (a INT) WITH ('connector' = 'x')", "names no connector"),
        ("CREATE TABLE t (event_id MAP<STRING, STRING>)", "type MAP<STRING, STRING> is not one of"),
        (
            "CREATE TABLE t (event_time TIMESTAMP_LTZ(3), WATERMARK FOR event_time AS event_time + INTERVAL '1' DAY)",
            "AS",
        ),
    ],
)
def test_a_broken_contract_is_one_clear_line(planning, tmp_path, text, message):
    from flink_app.contract_sql import read_contract
    from flink_app.sql_problems import SqlError

    path = tmp_path / "events.sql"
    path.write_text(
        re.sub(r"TABLE \w+", f"TABLE broken_{abs(hash(text))}", text, count=1) if "(a STRING" not in text else text
    )
    with pytest.raises(SqlError, match=message) as caught:
        read_contract(path, planning, Path("sql/events.sql"))
    assert len(str(caught.value).splitlines()) == 1


def test_the_delivered_windows_run_as_slices(planning, contract):
    from flink_app.planner import plan_windows
    from flink_app.window_files import read_window_files

    velocity, spend = plan_windows(read_window_files(SQL / "windows"), contract, planning)
    assert (velocity.kind, velocity.feature_sets) == ("slices", ("card_velocity",))
    assert (velocity.spec.granularities[0].size_ms, velocity.spec.slide_ms) == (30_000, 5_000)
    assert dict(velocity.columns) == {
        "tx_count": "BIGINT",
        "amount_sum": "DECIMAL(38, 2)",
        "amount_avg": "DECIMAL(38, 6)",
        "amount_max": "DECIMAL(12, 2)",
        "merchant_count": "BIGINT",
    }
    assert spend.feature_sets == ("customer_spend_1m", "customer_spend_5m", "customer_spend_15m")
    assert [g.size_ms for g in spend.spec.granularities] == [60_000, 300_000, 900_000]
    assert spend.spec.slide_ms == 60_000
    assert pickle.loads(pickle.dumps((velocity, spend))) == (velocity, spend)


def test_the_windows_that_tests_use_without_a_planner_are_the_delivered_ones(planning, contract):
    from flink_app.planner import plan_windows
    from flink_app.window_files import read_window_files
    from tests import delivered

    assert contract == delivered.CONTRACT
    planned = plan_windows(read_window_files(SQL / "windows"), contract, planning)
    for window, twin in zip(planned, (delivered.CARD_VELOCITY, delivered.CUSTOMER_SPEND), strict=True):
        for name in ("name", "granularities", "slide_ms", "offset_ms", "where", "having", "emit_every_ms"):
            assert getattr(window.spec, name) == getattr(twin, name)
        kept, stated = ([(name, expression.type) for name, expression in s.outputs] for s in (window.spec, twin))
        assert kept == stated


def test_a_rich_query_is_sliced_with_where_filter_case_and_having(plan):
    (window,) = plan(
        rich=query(
            "COUNT(*) FILTER (WHERE card_present) AS shown, MIN(amount) AS amount_min,"
            " SUM(CASE WHEN channel = 'ecom' THEN amount ELSE 0 END) AS ecom, MAX(amount) / AVG(amount) AS peak",
            HOP,
            "WHERE currency IN ('EUR', 'USD') AND amount > 0.5",
        )
        + " HAVING COUNT(*) > 2"
    )
    assert window.kind == "slices", window.reason
    assert window.spec.where is not None
    assert window.spec.having is not None
    assert [name for name, _ in window.spec.outputs] == ["shown", "amount_min", "ecom", "peak"]
    for (name, kind), (output, expression) in zip(window.columns, window.spec.outputs, strict=True):
        assert name == output
        assert str(expression.type) in {"int64", f"decimal128{kind[7:]}"}, kind


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (
            query(
                "COUNT(*) AS n", TUMBLE.replace("TUMBLE(TABLE events", "SESSION(TABLE events PARTITION BY customer_id")
            ),
            "SESSION",
        ),
        (
            query(
                "COUNT(*) AS n",
                "TABLE(CUMULATE(TABLE events, DESCRIPTOR(event_time), INTERVAL '10' SECOND, INTERVAL '1' MINUTE))",
            ),
            "CUMULATE",
        ),
        (query("merchant_id, COUNT(*) AS n") + ", merchant_id", "other keys"),
        (query("SUM(DISTINCT amount) AS s"), "DISTINCT"),
        (query("MAX(MD5(device_id)) AS m"), "MD5"),
        (query("MAX(channel) AS m"), "MAX of string"),
        (query("FIRST_VALUE(amount) AS m"), "FIRST_VALUE"),
        (
            query("COUNT(*) AS n", TUMBLE, "WHERE window_start > TIMESTAMP '2020-01-01 00:00:00'"),
            "condition on the window",
        ),
        (
            JOINED,
            "a join",
        ),
    ],
)
def test_a_query_that_does_not_fit_the_slices_runs_natively_and_says_why(plan, sql, reason):
    (window,) = plan(native=sql)
    assert window.kind == "native"
    assert reason in window.reason
    assert window.native.sql == sql
    assert window.columns
    assert window.feature_sets == ("native",)


@pytest.mark.parametrize("path", sorted((HERE / "bad_sql").glob("*.sql")), ids=lambda path: path.stem)
def test_broken_sql_is_told_with_file_line_and_column(plan, path):
    from flink_app.sql_problems import SqlError

    text = path.read_text(encoding="utf-8")
    expected = re.match(r"-- expect: (.*)", text)[1]
    good = (SQL / "windows" / "card_velocity.sql").read_text(encoding="utf-8")
    with pytest.raises(SqlError) as caught:
        plan(card_velocity=good, **{path.stem: text})
    (problem,) = caught.value.problems
    assert problem.startswith(f"sql/windows/{path.stem}.sql:")
    assert expected in problem
    assert "\n" not in problem


def test_the_problems_of_all_files_are_told_together(plan):
    from flink_app.sql_problems import SqlError

    with pytest.raises(SqlError) as caught:
        plan(one=query("SUM(amout) AS s"), two=query("COUNT(*) AS dt"), three=query("COUNT(*) AS n"))
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "sql/windows/one.sql",
        "sql/windows/two.sql",
    ]


def test_two_files_must_not_write_the_same_feature_set(plan):
    from flink_app.sql_problems import SqlError

    with pytest.raises(SqlError, match="feature set 'a_1m' is written by"):
        plan(a="-- rollup: 1 MINUTE\n" + query("COUNT(*) AS n"), a_1m=query("COUNT(*) AS n"))
