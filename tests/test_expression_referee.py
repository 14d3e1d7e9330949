"""The referee: every supported SQL expression, as the operator computes it, against Flink's own batch result."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

pytestmark = pytest.mark.flink

SEED = 20260131
HERE = Path(__file__).resolve().parent
SQL = HERE.parent / "sql"


def _listed(name: str) -> list[str]:
    """Expressions of `tests/expressions/<name>.txt`, one a line."""
    return (HERE / "expressions" / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def _rows(count: int) -> list[dict[str, object]]:
    """Random payments with NULLs, odd texts and odd amounts."""
    rng = random.Random(SEED)
    texts = ["", "a", "ab", "aXb", "  pad ", "ß", "ÀÉ", "日本語", "aa bb", "a\nb", "ba%b_", "\U0001f600a", "Σας", None]
    amounts = [
        "0.00",
        "0.01",
        "0.05",
        "5.00",
        "12.50",
        "2.50",
        "-7.45",
        "-0.05",
        "9999999999.99",
        "-9999999999.99",
        "100",
    ]
    rows = []
    for i in range(count):
        amount = rng.choice(amounts) if i % 3 == 0 else f"{rng.uniform(-50, 700):.2f}"
        moment = datetime(2023, 11, 14, 22, tzinfo=UTC) + timedelta(milliseconds=rng.randrange(-(10**10), 10**11))
        rows.append(
            {
                "event_id": f"e{i}",
                "customer_id": "c",
                "merchant_id": "m",
                "amount": Decimal(amount),
                "event_time": moment,
                "currency": None,
                "country": rng.choice(["ecom", "DE", None]),
                "channel": rng.choice(["ecom", "pos", "atm", "ec_m", "e%x", None]),
                "device_id": rng.choice(texts),
                "email": None,
                "card_present": rng.choice([True, False, None]),
            }
        )
    return rows


@pytest.fixture(scope="module")
def contract_and_plan():
    from flink_app.contract_sql import read_contract
    from flink_app.planner import planning_environment

    planning = planning_environment(short_lived=True)
    return read_contract(SQL / "events.sql", planning), planning


def _trees(contract_and_plan, expressions):
    """The operator's trees (or Unsupported) of several SQL expressions, all compiled in one query."""
    from flink_app.planner import _into_a_sink
    from flink_app.rex import expression_of
    from operators.expressions import Column, Unsupported

    contract, planning = contract_and_plan
    select = ", ".join(f"{expression} AS x{i}" for i, expression in enumerate(expressions))
    query = planning.sql_query(f"SELECT {select} FROM events")._j_table
    plan = json.loads(_into_a_sink(query, planning).compilePlan().asJsonString())
    calc = next(node for node in plan["nodes"] if "calc" in node["type"])
    inputs = [Column(i, column.arrow_type) for i, column in enumerate(contract.columns)]
    trees = []
    for node in calc["projection"]:
        try:
            trees.append(expression_of(node, inputs))
        except Unsupported as reason:
            trees.append(reason)
    return trees


def _by_flink(contract, rows, expressions, folder):
    """Flink's batch results, one list per expression."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    path = folder / "rows.json"
    path.write_text("\n".join(json.dumps(_json(row)) for row in rows), encoding="utf-8")
    batch = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    batch.get_config().set("table.local-time-zone", "UTC")
    batch.get_config().set("parallelism.default", "1")
    columns = ", ".join(f"{c.name} {c.type}" for c in contract.columns)
    batch.execute_sql(
        f"CREATE TABLE events ({columns}) WITH ('connector'='filesystem', 'path'='file://{path}', 'format'='json',"
        " 'json.timestamp-format.standard'='ISO-8601')"
    )
    select = ", ".join(f"{expression} AS x{i}" for i, expression in enumerate(expressions))
    with batch.execute_sql(f"SELECT event_id, {select} FROM events").collect() as found:
        by_id = {row[0]: list(row)[1:] for row in found}
    return [[by_id[row["event_id"]][i] for row in rows] for i in range(len(expressions))]


def _json(row: dict[str, object]) -> dict[str, object]:
    moment = row["event_time"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {**row, "amount": str(row["amount"]), "event_time": moment}


def _by_operator(contract, rows, trees):
    from operators.expressions import compile_expression

    columns = [pa.array([row[c.name] for row in rows], c.arrow_type) for c in contract.columns]
    return [compile_expression(tree)(columns, len(rows)).to_pylist() for tree in trees]


def test_expressions_equal_flink_batch_on_random_rows(contract_and_plan, tmp_path):
    contract, _ = contract_and_plan
    exact, close = _listed("exact"), _listed("close")
    rows = _rows(400)
    trees = _trees(contract_and_plan, exact + close)
    refused = [f"{sql}: {tree}" for sql, tree in zip(exact + close, trees, strict=True) if isinstance(tree, Exception)]
    assert refused == []
    expected = _by_flink(contract, rows, exact + close, tmp_path)
    got = _by_operator(contract, rows, trees)
    differences = []
    for i, sql in enumerate(exact + close):
        for row, want, have in zip(rows, expected[i], got[i], strict=True):
            equal = (
                want == have if i < len(exact) else want is have or want == pytest.approx(have, rel=1e-9, nan_ok=True)
            )
            if not equal:
                differences.append(f"{sql}: Flink {want!r}, operator {have!r}, {row}")
                break
    assert differences == [], f"seed {SEED}\n" + "\n".join(differences)


@pytest.mark.parametrize("sql", _listed("unsupported"))
def test_an_expression_that_could_differ_is_refused_at_translation(contract_and_plan, sql):
    from operators.expressions import Unsupported

    assert isinstance(_trees(contract_and_plan, [sql])[0], Unsupported)
