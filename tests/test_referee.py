"""The referee: windows written by chance, as the operator computes them on a stream, against Flink's own batch result.

    random SQL ──┬─► Flink's planner ─► window spec ─► gate and bucket, read in pieces, restarted ──► final rows ─┐
                 └─► Flink, batch mode, over the accepted events ───────────────────────────────────────────────► equal

Every column of every row, as text: DECIMAL with its scale, NULL as NULL; DOUBLE to 1e-9. What the planner turns down to
native is counted, not compared: there Flink computes the rows itself. `REFEREE=400` draws so many windows, by a seed
that it prints; `REFEREE_SEED` gives that one again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bucket_harness import KEY, T0, settings
from tests.judge import judge
from tests.law_journey import Journey
from tests.law_streams import Step
from tests.random_sql import EXTRA_COLUMNS, SqlWriter
from tests.window_definitions import LATENESS_MS

pytestmark = pytest.mark.flink

WINDOWS = int(os.environ.get("REFEREE", "16"))
SEED = int(os.environ.get("REFEREE_SEED", random.SystemRandom().randrange(10**6) if "REFEREE" in os.environ else 7))
AT_ONCE = 16  # windows in one batch job
EVENTS = 250
SQL = Path(__file__).resolve().parents[1] / "sql"


def contract_text():
    """The delivered contract with more types, and the short lateness of the laws."""
    text = (SQL / "events.sql").read_text(encoding="utf-8")
    return text.replace("  WATERMARK", f"{EXTRA_COLUMNS}  WATERMARK").replace("'2' MINUTE", "'10' SECOND")


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    """(contract, plan), where plan(window) -> PlannedWindow; one environment for all."""
    from flink_app.contract_sql import read_contract
    from flink_app.planner import plan_windows, planning_environment
    from flink_app.window_files import parse_window_file

    path = tmp_path_factory.mktemp("referee") / "events.sql"
    path.write_text(contract_text(), encoding="utf-8")
    environment = planning_environment(short_lived=True)
    contract = read_contract(path, environment)

    def plan(window):
        file = parse_window_file(Path(f"{window.name}.sql"), window.sql())
        return plan_windows([file], contract, environment)[0]

    return contract, plan


def stream(rng):
    """Records (data, arrival) of three customers: NULLs, ties, disorder, copies, some late, some broken."""
    records, arrival = [], T0
    amounts = ["0.00", "0.01", "-0.05", "12.50", "9999999999.99", "-9999999999.99", "0.005e1", "100"]
    for number in range(EVENTS):
        arrival += rng.choice((0, 40, 250, 700))
        at = arrival - rng.choice((0, 0, 1, rng.randrange(LATENESS_MS), LATENESS_MS, LATENESS_MS + 1, -900))
        optional = {
            "channel": rng.choice(('"ecom"', '"pos"', '"ec%"', '""', "null")),
            "currency": rng.choice(('"EUR"', '"ecom"', "null")),
            "device_id": rng.choice(('"a"', '"B "', '" ç日"', '"ab"', "null")),
            "email": rng.choice(('"a@b.c"', '"d@e.f"', "null")),
            "card_present": rng.choice(("true", "false", "null")),
            "visits": rng.choice(("0", "3", "-7", "2147483647", "-2147483648", "null")),
            "points": rng.choice(("0", "5", "-12", "9007199254740993", "4611686018427387904", "null")),
            "score": rng.choice(("0.25", "-1.5", "0", "1024.75", "null")),
            "fee": rng.choice(("0.5", "0.0001", "-0.9999", "0", "null")),
            "issued": rng.choice(('"1969-12-31T23:59:59.999Z"', '"2030-02-01T00:00:00.5Z"', "null")),
        }
        fields = {
            "event_id": f'"e{number}"',
            "customer_id": f'"{rng.choice(("anna", "ben", "cleo"))}"',
            "merchant_id": f'"m{rng.randrange(3)}"',
            "amount": rng.choice((*amounts, f"{rng.uniform(-50, 700):.2f}", f"{rng.uniform(0, 20):.2f}")),
            "event_time": f'"{iso(at // 250 * 250 if rng.random() < 0.3 else at)}"',
        } | {name: text for name, text in optional.items() if rng.random() < 0.8}
        data = ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}").encode()
        records.append((rng.choice((data, data, data, data, data[:-1])) if number % 9 == 0 else data, arrival))
        if rng.random() < 0.05:
            records.append((*rng.choice(records[-8:])[:1], arrival))
    return records


def iso(epoch_ms):
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def accepted(records, contract):
    """The accepted events by the judge and the laws, masked."""
    events = {}
    for data, arrival in records:
        event = judge(data, contract)
        if event is not None and -5_000 <= arrival - event["event_time"] <= LATENESS_MS:
            if event["email"] is not None:
                event["email"] = hmac.new(KEY.encode(), event["email"].encode(), hashlib.sha256).hexdigest()
            events.setdefault((event["customer_id"], event["event_id"]), event)
    return list(events.values())


def by_flink(windows, events, folder):
    """Window name -> {(customer, start, end): [column as text, …, revision as text]}, all windows in one batch job."""
    from pyflink.table import EnvironmentSettings, TableEnvironment

    path = folder / "events.json"
    times = ("event_time", "issued")
    rows = [{n: iso(v) if n in times and v is not None else v for n, v in event.items()} for event in events]
    path.write_text("\n".join(json.dumps(row, default=str) for row in rows), encoding="utf-8")
    batch = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    for key, value in (("table.local-time-zone", "UTC"), ("parallelism.default", "1")):
        batch.get_config().set(key, value)
    batch.execute_sql(
        f"{contract_text().rpartition(';')[0]} WITH ('connector' = 'filesystem', 'path' = '{path.as_uri()}',"
        " 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601')"
    )
    widest = max(len(window.columns) for window in windows) + 1
    parts = []
    for window in windows:
        names = ["customer_id", "window_start", "window_end", *[name for name, _ in window.columns], "revision"]
        names += ["NULL"] * (widest + 3 - len(names))
        texts = ", ".join(f"CAST({name} AS STRING)" for name in names)
        parts.append(f"SELECT '{window.name}', {texts} FROM ({window.sql(counted=True)})")
    found = {window.name: {} for window in windows}
    widths = {window.name: len(window.columns) + 1 for window in windows}
    with batch.execute_sql(" UNION ALL ".join(parts)).collect() as result:
        for name, customer, start, end, *values in result:
            found[name.strip()][customer, start, end] = values[: widths[name.strip()]]
    return found


def by_operator(plans, records, contract, rng):
    """The same of the final rows, off a journey with restarts."""
    chosen = settings(contract=contract, specs=tuple(plan.spec for plan in plans), dedup_ttl_ms=10**9)
    steps = [
        Step(rng.randint(1, 40), rng.random() < 0.5, rng.choice((None, 0, 700)), rng.choice(("go on", "restart")), 0)
        for _ in range(12)
    ]
    bucket = Journey(records, chosen).go(steps, "drained")
    found = {plan.name: {} for plan in plans}
    for plan in plans:
        names = [name for name, _ in plan.spec.outputs]
        for row in bucket.out[f"final:{plan.name}"]:
            key = (row["customer_id"], text_of(row["window_start"]), text_of(row["window_end"]))
            assert key not in found[plan.name], "a final row twice"
            found[plan.name][key] = [text_of(row[name]) for name in (*names, "revision")]
    return found


def text_of(value):
    """As Flink casts it to STRING; a float stays one."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03}"
    if value is None or isinstance(value, float | str):
        return value
    return f"{value:f}" if not isinstance(value, int) else str(value)


def same(got, wanted):
    if isinstance(got, float) and wanted is not None:
        return got == pytest.approx(float(wanted), rel=1e-9, abs=1e-9, nan_ok=True)
    return got == wanted


def difference(window, got, wanted):
    """The first difference in words; None: all rows are equal."""
    if got.keys() != wanted.keys():
        more, fewer = sorted(got.keys() - wanted.keys())[:3], sorted(wanted.keys() - got.keys())[:3]
        return f"rows only of the operator {more}, only of Flink {fewer}"
    for key, row in wanted.items():
        for (name, expression), have, want in zip(
            (*window.columns, ("revision", "COUNT(*)")), got[key], row, strict=True
        ):
            if not same(have, want):
                return f"{key} {name} = {expression}: Flink {want!r}, operator {have!r}"
    return None


def test_random_windows_give_flinks_own_batch_rows(planner, tmp_path):
    print(f"REFEREE_SEED={SEED} REFEREE={WINDOWS}")
    contract, plan = planner
    rng = random.Random(SEED)
    writer, differences, kinds = SqlWriter(rng), [], {"slices": 0, "native": 0}
    rows = 0
    for first in range(0, WINDOWS, AT_ONCE):
        windows, plans = [], []
        for number in range(first, min(first + AT_ONCE, WINDOWS)):
            window = writer.window(f"w{number}")
            planned = plan(window)
            kinds[planned.kind] += 1
            if planned.kind == "slices":
                windows.append(window)
                plans.append(planned)
            else:
                print("native:", planned.reason)
        folder = tmp_path / str(first)
        folder.mkdir()
        records = stream(rng)
        wanted = by_flink(windows, accepted(records, contract), folder)
        got = by_operator(plans, records, contract, rng)
        for window in windows:
            rows += len(wanted[window.name])
            if (problem := difference(window, got[window.name], wanted[window.name])) is not None:
                differences.append(f"{problem}\n{window.sql()}")
    print(f"{kinds}, {rows} rows")
    assert differences == [], f"REFEREE_SEED={SEED} REFEREE={WINDOWS}\n" + "\n".join(differences)
    assert kinds["slices"] >= WINDOWS * 0.6
    assert rows > WINDOWS * 10
