"""What becomes of a snapshot under another version: each statement from two versions, and what it rests on, tried.

W = 1:00:00, reach 20 minutes:      0:40:00 ├────── log ──────┤ W
a window of 20 minutes, end 1:00:05  0:40:05 ├─────────────────┼─┤     all its payments
a window of 25 minutes, end 1:00:05  0:35:05 ├──╌╌╌────────────┼─┤     those of the first minutes are gone
"""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from flink_app.compatibility import Outcome, Version, compare
from flink_app.planner import NativeWindow, PlannedWindow, SqlPlan
from flink_app.properties import State
from flink_app.state_layout import LAYOUT
from flink_app.window_checks import FeatureColumn
from flink_app.window_files import WindowFile
from operators.buckets import bucket_keys
from operators.contract import Column
from operators.gate import Gate
from operators.window_spec import Granularity
from tests.bucket_harness import KEY, T0, Bucket, payment, settings
from tests.delivered import CARD_VELOCITY, CONTRACT, CUSTOMER_SPEND

ROOT = Path(__file__).resolve().parents[1]
L = 120_000


def sliced(spec, sql="SELECT 1", columns=(("tx_count", "BIGINT"),)):
    file = WindowFile(spec.name, Path(f"sql/windows/{spec.name}.sql"), sql)
    return PlannedWindow(file, tuple(FeatureColumn(*column) for column in columns), spec)


def native(name, sql):
    file = WindowFile(name, Path(f"sql/windows/{name}.sql"), sql)
    return PlannedWindow(file, (), native=NativeWindow(name, sql, (), "a SESSION window"))


def of_size(name, size_ms):
    return replace(CARD_VELOCITY, name=name, granularities=(Granularity(name, size_ms),))


def version(*windows, contract=CONTRACT, state=None, layout=LAYOUT):
    windows = windows or (sliced(CARD_VELOCITY), sliced(CUSTOMER_SPEND))
    return Version(SqlPlan(contract, windows), state or State(), layout)


def outcomes(old, new):
    return {fact.subject: fact.outcome for fact in compare(old, new).facts}


def test_the_same_version_goes_on_and_changes_nothing():
    found = compare(version(), version())
    assert found.restores
    assert found.changes == ()


def test_comments_and_spaces_are_no_edit_and_a_text_in_quotes_is():
    def edited(sql):
        return outcomes(version(sliced(CARD_VELOCITY, "SELECT 'a -- b'")), version(sliced(CARD_VELOCITY, sql)))

    assert edited("SELECT -- why\n  'a -- b' /* so */")["window card_velocity"] is Outcome.GOES_ON
    assert edited("SELECT 'a -- c'")["window card_velocity"] is Outcome.WARM


@pytest.mark.parametrize(("size_ms", "outcome"), [(1_200_000, Outcome.WARM), (1_200_001, Outcome.PARTLY)])
def test_a_new_window_is_warm_as_far_as_the_log_reaches(size_ms, outcome):
    old = version()
    assert old.reach_ms == 1_200_000  # 15 minutes, and 5 of grace
    found = outcomes(old, version(*old.plan.windows, sliced(of_size("wide", size_ms))))
    assert found["window wide"] is outcome
    assert found["window card_velocity"] is Outcome.GOES_ON


@pytest.mark.parametrize("specs", [(CARD_VELOCITY,), (CARD_VELOCITY, CUSTOMER_SPEND), ()])
@pytest.mark.parametrize("state", [State(), State(dedup_ttl_seconds=3_600), State(grace_seconds=0)])
def test_the_reach_is_what_the_operator_keeps(specs, state):
    kept = settings(specs=specs, dedup_ttl_ms=state.dedup_ttl_seconds * 1000, grace_ms=state.grace_seconds * 1000)
    plan = SqlPlan(CONTRACT, tuple(sliced(spec) for spec in specs))
    assert Version(plan, state, LAYOUT).reach_ms == kept.kept_ms + kept.grace_ms


def counts_after_a_restore(size_ms):
    """Window end -> payments, of a window that is added at W; one every ten seconds, so a full one has size / 10 s."""
    bucket = Bucket(settings())
    at = T0
    for number in range(300):
        at = T0 + number * 10_000
        bucket.send([(payment("anna", at, number), at)])
        bucket.watermark(at - L - 1, at)
    again = bucket.restored(now_ms=at, specs=(CARD_VELOCITY, CUSTOMER_SPEND, of_size("wide", size_ms)))
    again.watermark(at - 1, at)
    return {end: row["tx_count"] for (name, _, end), row in sorted(again.final().items()) if name == "wide"}


@pytest.mark.slow
def test_a_window_as_long_as_the_reach_has_all_its_events():
    counts = counts_after_a_restore(1_200_000)
    assert len(counts) == L // 5_000
    assert set(counts.values()) == {120}


@pytest.mark.slow
def test_a_window_longer_than_the_reach_lacks_events_at_first():
    assert min(counts_after_a_restore(1_500_000).values()) < 150 - 25


def test_another_number_of_buckets_sends_customers_to_buckets_without_their_events():
    old, new = (Gate(CONTRACT, KEY, bucket_keys(count)) for count in (16, 32))
    records = [payment(f"c{number}", T0, number) for number in range(100)]
    sent = [gate.admit(records, [T0] * 100, ["s"] * 100, ["1"] * 100).batches for gate in (old, new)]
    assert {key for key, _ in sent[0]} < {key for key, _ in sent[1]}
    found = compare(version(), version(state=State(buckets=32)))
    assert not found.restores
    assert [fact.subject for fact in found.problems] == ["State.buckets"]


def with_column(column, at=None):
    columns = list(CONTRACT.columns)
    columns.insert(len(columns) if at is None else at, column)
    return replace(CONTRACT, columns=tuple(columns))


@pytest.mark.parametrize(
    ("contract", "outcome"),
    [
        (with_column(Column("loyalty", "BIGINT")), Outcome.PARTLY),
        (with_column(Column("loyalty", "BIGINT"), at=2), Outcome.PARTLY),
        (with_column(Column("loyalty", "BIGINT", nullable=False)), Outcome.FAILS),
    ],
)
def test_a_new_column_must_be_nullable(contract, outcome):
    found = outcomes(version(), version(contract=contract))
    assert found["column loyalty"] is outcome
    assert found["window card_velocity"] is Outcome.GOES_ON


@pytest.mark.parametrize(
    ("name", "changed", "outcome"),
    [
        ("amount", {"type": "DECIMAL(14, 2)"}, Outcome.FAILS),
        ("country", {"nullable": False}, Outcome.PARTLY),
        ("email", {"pii": False}, Outcome.PARTLY),
    ],
)
def test_a_changed_column_says_what_happens_to_stored_events(name, changed, outcome):
    columns = tuple(replace(c, **changed) if c.name == name else c for c in CONTRACT.columns)
    assert outcomes(version(), version(contract=replace(CONTRACT, columns=columns)))[f"column {name}"] is outcome


def test_a_column_and_a_window_that_are_gone_end():
    contract = replace(CONTRACT, columns=CONTRACT.columns[:-1])
    found = outcomes(version(), version(sliced(CARD_VELOCITY), contract=contract))
    assert found["column card_present"] is found["window customer_spend"] is Outcome.ENDS
    assert compare(version(), version(sliced(CARD_VELOCITY), contract=contract)).restores


def test_another_lateness_bound_is_told_and_restores():
    found = compare(version(), version(contract=replace(CONTRACT, lateness_ms=60_000)))
    assert found.restores
    assert any("2 min → 1 min" in fact.why for fact in found.facts)


def test_a_native_window_starts_empty_and_must_not_be_edited_under_its_name():
    old = version(sliced(CARD_VELOCITY), native("visits", "SELECT 1"))
    assert outcomes(version(sliced(CARD_VELOCITY)), old)["native window visits"] is Outcome.EMPTY
    assert outcomes(old, version(sliced(CARD_VELOCITY), native("visits", "SELECT  1")))["native window visits"] is (
        Outcome.GOES_ON
    )
    edited = compare(old, version(sliced(CARD_VELOCITY), native("visits", "SELECT 2")))
    assert [fact.subject for fact in edited.problems] == ["native window visits"]
    assert "another name" in edited.problems[0].why
    renamed = version(sliced(CARD_VELOCITY), native("calls", "SELECT 2"))
    assert compare(old, renamed).restores


def test_a_window_that_changes_sides_is_empty_natively_and_warm_on_slices():
    one, other = version(sliced(CARD_VELOCITY)), version(native("card_velocity", "SELECT 2"))
    assert outcomes(one, other)["native window card_velocity"] is Outcome.EMPTY
    assert outcomes(other, one)["window card_velocity"] is Outcome.WARM


def test_ids_are_known_as_far_back_as_the_log():
    longer, too_long = version(state=State(dedup_ttl_seconds=1_200)), version(state=State(dedup_ttl_seconds=1_201))
    assert outcomes(version(), longer)["State.dedup.ttl.seconds"] is Outcome.WARM
    assert outcomes(version(), too_long)["State.dedup.ttl.seconds"] is Outcome.PARTLY


def test_a_feature_that_changes_its_type_is_told():
    edited = sliced(CARD_VELOCITY, "SELECT 2", [("tx_count", "DOUBLE")])
    assert outcomes(version(), version(edited))["feature tx_count"] is Outcome.PARTLY


def test_another_layout_does_not_restore_and_an_unknown_one_is_told():
    assert not compare(version(layout=LAYOUT | {"blob": "FWB0"}), version()).restores
    found = compare(version(layout=None), version())
    assert found.restores
    assert "CHANGELOG" in found.facts[0].why


def test_the_layout_says_what_the_code_does():
    import importlib.metadata
    import zlib

    from operators import bucket_state, buckets, packing

    code = {
        "Flink": ".".join(importlib.metadata.version("apache-flink").split(".")[:2]),
        "AWS connectors": (ROOT / "deploy/jar/pom.xml").read_text().split("<aws.connector.version>")[1].split("<")[0],
        "maximum parallelism": str(buckets.MAX_PARALLELISM),
        "bucket keys": ", ".join(map(str, buckets.bucket_keys(3))),
        "blob": packing._MAGIC.decode(),
        "blob columns": ", ".join(f"{f.name} {f.type}" for f in packing.event_schema(CONTRACT))[
            len("".join(f"{f.name} {f.type}, " for f in CONTRACT.arrow_schema())) :
        ],
        "progress": bucket_state.Progress._FORMAT.format,
    }
    rest = {"customer bucket", "keyed state"}  # below, and in the shell's descriptors
    assert code == {key: value for key, value in LAYOUT.items() if key not in rest}
    keys = bucket_keys(16)
    admitted = Gate(CONTRACT, KEY, keys).admit([payment("anna", T0, 1)], [T0], ["s"], ["1"])
    assert [key for key, _ in admitted.batches] == [keys[zlib.crc32(b"anna") % 16]]
    shell = (ROOT / "operators" / "feature_windows_shell.py").read_text()
    assert [shell.count(f'Descriptor("{name}"') for name in ("log", "schemas", "progress")] == [1, 1, 1]


def test_every_proof_is_a_test_that_exists():
    source = ast.parse((ROOT / "flink_app" / "compatibility.py").read_text())
    texts = {node.value for node in ast.walk(source) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    prefixes = [text for text in texts if text.endswith(".py::")]
    tests = {text for text in texts if text.startswith("test_")}
    assert len(prefixes) == 5
    assert len(tests) >= 9
    defined = set()
    for prefix in prefixes:
        module = ast.parse((ROOT / prefix.removesuffix("::")).read_text())
        defined |= {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
    assert tests <= defined
