"""What `make curves` runs: windows that the job computes itself, and a restore of what was counted."""

from __future__ import annotations

import shutil

import pytest

from flink_app.generate import Truth, payments
from flink_app.local.places import ROOT
from tests.bench.payload import RATE, SEED
from tests.curves.axes import AXES


@pytest.mark.flink
@pytest.mark.parametrize("name", [name for name, axis in AXES.items() if axis.load(axis.values[0]).windows])
def test_every_window_of_an_axis_is_one_that_the_job_computes_itself(name, tmp_path):
    from flink_app.planner import plan_sql

    shutil.copytree(ROOT / "sql", tmp_path / "sql")
    windows = AXES[name].load(AXES[name].values[-1]).windows
    shutil.rmtree(tmp_path / "sql" / "windows")
    (tmp_path / "sql" / "windows").mkdir()
    for stem, text in windows.items():
        (tmp_path / "sql" / "windows" / f"{stem}.sql").write_text(text)
    plan = plan_sql(tmp_path / "sql")
    assert {file_set for window in plan.windows for file_set in window.feature_sets} == set(windows)
    assert len(plan.specs) == len(windows)
    assert not plan.natives


@pytest.mark.slow
def test_a_restored_log_holds_the_payments_that_were_counted():
    from tests.curves.measure import restore

    truth = Truth()
    for chunk in payments(seed=SEED, events=30_000, customers=20_000, rate=RATE):
        truth.add(chunk)
    assert restore(30_000).events == truth.accepted
