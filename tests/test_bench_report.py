"""What the benchmark's document says about runs: rounds in pairs, and how far more subtasks could reach."""

from __future__ import annotations

import pytest

from tests.bench import report
from tests.made_results import run


def test_more_subtasks_are_judged_by_the_cores_that_one_leaves_free(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    found = [run(40.0, 64.0), run(20.0, 66.0, parallelism=2), run(30.0, 15.0, "light"), run(10.0, 15.0, "light", 2)]
    _, job, light = report.scaling(found)
    assert job == ["job, heap", "2", "4", "1.60", "3.30", "2.00", "2.00"]
    assert light == ["light, heap", "2", "4", "0.50", "1.50", "3.00", "2.00"]
    _, job, *_ = report.scaling([run(40.0, 120.0), *found[1:]])
    assert job[-1] == "1.33"


def test_two_subtasks_are_also_set_beside_one_on_a_core_of_its_own(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    found = [run(40.0, 60.0), run(60.0, 57.0, "job, one core"), run(30.0, 54.0, parallelism=2)]
    _, on_all, on_one = report.scaling(found)
    assert on_all[2:] == ["2", "1.50", "1.80", "1.33", "1.33"]
    assert on_one[2:] == ["1", "0.95", "1.80", "2.00", "2.00"]


def test_without_a_second_parallelism_there_is_nothing_to_compare():
    assert len(report.scaling([run(40.0, 60.0)])) == 1


def test_two_bounds_have_no_ratio():
    assert len(report.scaling([run(40.0, 60.0, finished=False), run(20.0, 30.0, parallelism=2)])) == 1
    assert len(report.scaling([run(40.0, 60.0), run(20.0, 30.0, parallelism=2, finished=False)])) == 1


@pytest.mark.parametrize(("finished", "cell"), [(True, "2.00 (1.50–2.50)"), (False, "≥ 2.00 (1.50–2.50)")])
def test_a_ratio_is_of_runs_of_one_round(finished, cell):
    job = [run(10.0, 10.0), run(20.0, 20.0)]
    peer = [run(25.0, 10.0, "peer"), run(30.0, 20.0, "peer", finished=finished)]
    _, found = report.ratios([*job, *peer])
    assert found[2] == cell
