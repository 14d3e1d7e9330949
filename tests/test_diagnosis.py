"""The doctor's logic: each verdict at its threshold and just below it, and which one counts where several hold."""

from __future__ import annotations

import dataclasses
import re

import pytest
from rich.console import Console

from flink_app import doctor
from flink_app.doctor import Part, Symptoms, Task, Verdict, diagnose
from flink_app.doctor_report import NEXT_STEPS, report
from flink_app.local.places import ROOT

SETTLED = {"settled_seconds": doctor.SETTLED_SECONDS}
LAG = {"behind_ms": doctor.BEHIND_MS}
KEEPS_UP = {"behind_ms": 0.0, "freshness_ms": 1_000.0}


def tasks(windows_busy=0.0, sink_busy=0.0, windows_held_up=0.0, source_held_up=0.0):
    """The source is held up by the windows, the windows by the sink."""
    return (
        Task("source and gate", Part.SOURCE, None, source_held_up),
        Task("feature windows", Part.WINDOWS, windows_busy, windows_held_up),
        Task("DynamoDB writer 44", Part.SINK, sink_busy, 0.0),
        Task("S3 files 60", Part.SINK, 5.0, 0.0),
    )


def verdict(**figures):
    return diagnose(Symptoms(**{**SETTLED, **figures})).verdict


AT_ITS_THRESHOLD = {
    "sink, by Flink": (
        Verdict.SINK,
        {**LAG, "tasks": tasks(sink_busy=doctor.BUSY_MS, windows_held_up=900, source_held_up=900)},
        {**LAG, "tasks": tasks(sink_busy=doctor.BUSY_MS - 1, windows_held_up=900, source_held_up=900)},
    ),
    "sink, though the stream's age is not known": (
        Verdict.SINK,
        {"tasks": tasks(sink_busy=1000, source_held_up=doctor.HELD_UP_MS)},
        {"tasks": tasks(sink_busy=1000, source_held_up=doctor.HELD_UP_MS - 1)},
    ),
    "sink, by refused rows": (Verdict.SINK, {**LAG, "rows_refused": 1.0}, {**LAG, "rows_refused": 0.0}),
    "sink, by slow answers": (
        Verdict.SINK,
        {**LAG, "row_batch_ms": doctor.ROW_BATCH_MS},
        {**LAG, "row_batch_ms": doctor.ROW_BATCH_MS - 1},
    ),
    "Python, by Flink": (
        Verdict.PYTHON,
        {**LAG, "tasks": tasks(windows_busy=doctor.BUSY_MS)},
        {**LAG, "tasks": tasks(windows_busy=doctor.BUSY_MS - 1)},
    ),
    "Python, by CPU": (
        Verdict.PYTHON,
        {**LAG, "cpu_percent": doctor.CPU_PERCENT},
        {**LAG, "cpu_percent": doctor.CPU_PERCENT - 1},
    ),
    "Python, by old rows": (
        Verdict.PYTHON,
        {"freshness_ms": doctor.FRESHNESS_MS, "cpu_percent": 99.0},
        {"freshness_ms": doctor.FRESHNESS_MS - 1, "cpu_percent": 99.0},
    ),
    "consumer": (Verdict.CONSUMER, {**LAG, "tasks": tasks()}, {"behind_ms": doctor.BEHIND_MS - 1, "tasks": tasks()}),
    "checkpoint, failed": (
        Verdict.CHECKPOINT,
        {**KEEPS_UP, "checkpoints_failed": doctor.CHECKPOINTS_FAILED},
        {**KEEPS_UP, "checkpoints_failed": doctor.CHECKPOINTS_FAILED - 1},
    ),
    "checkpoint, back to back": (
        Verdict.CHECKPOINT,
        {**KEEPS_UP, "checkpoint_ms": 60_000.0, "checkpoint_interval_ms": 60_000.0},
        {**KEEPS_UP, "checkpoint_ms": 59_999.0, "checkpoint_interval_ms": 60_000.0},
    ),
    "checkpoint, at a short interval": (
        Verdict.CHECKPOINT,
        {**KEEPS_UP, "checkpoint_ms": doctor.CHECKPOINT_MS, "checkpoint_interval_ms": 3_000.0},
        {**KEEPS_UP, "checkpoint_ms": doctor.CHECKPOINT_MS - 1, "checkpoint_interval_ms": 3_000.0},
    ),
    "stream, by refused writes": (
        Verdict.STREAM,
        {**KEEPS_UP, "producers_refused": 1.0},
        {**KEEPS_UP, "producers_refused": 0.0},
    ),
    "stream, by records": (
        Verdict.STREAM,
        {**KEEPS_UP, "shard_records": doctor.SHARD_RECORDS},
        {**KEEPS_UP, "shard_records": doctor.SHARD_RECORDS - 1},
    ),
    "stream, by bytes": (
        Verdict.STREAM,
        {**KEEPS_UP, "shard_bytes": doctor.SHARD_BYTES},
        {**KEEPS_UP, "shard_bytes": doctor.SHARD_BYTES - 1},
    ),
}


@pytest.mark.parametrize("name", AT_ITS_THRESHOLD)
def test_a_verdict_begins_at_its_threshold(name):
    wanted, at, below = AT_ITS_THRESHOLD[name]
    assert verdict(**at) is wanted
    assert verdict(**below) is not wanted


def test_every_cause_has_a_case_above():
    causes = set(Verdict) - {Verdict.HEALTHY, Verdict.NOT_ENOUGH_DATA}
    assert {wanted for wanted, *_ in AT_ITS_THRESHOLD.values()} == causes


def test_a_job_that_has_just_started_gets_no_verdict():
    busy = {**LAG, "tasks": tasks(windows_busy=1000)}
    assert verdict(**busy) is Verdict.PYTHON
    assert verdict(**busy, settled_seconds=doctor.SETTLED_SECONDS - 1) is Verdict.NOT_ENOUGH_DATA


def test_without_any_figure_nothing_is_said_to_be_healthy():
    assert diagnose(Symptoms()).verdict is Verdict.NOT_ENOUGH_DATA
    assert verdict(behind_ms=0.0) is Verdict.HEALTHY


def test_what_lags_without_a_known_cause_is_not_called_healthy():
    assert verdict(**LAG) is Verdict.NOT_ENOUGH_DATA  # neither tasks nor CPU: nobody knows what is busy
    assert verdict(behind_ms=0.0, freshness_ms=doctor.FRESHNESS_MS, tasks=tasks()) is Verdict.NOT_ENOUGH_DATA
    assert verdict(**LAG, reads_refused=1.0) is verdict(**LAG, cpu_percent=10.0) is Verdict.CONSUMER


def test_a_busy_task_alone_is_no_illness():
    assert verdict(**KEEPS_UP, tasks=tasks(windows_busy=1000)) is Verdict.HEALTHY
    assert verdict(**KEEPS_UP, cpu_percent=100.0, rows_refused=50.0) is Verdict.HEALTHY


def test_windows_that_wait_for_a_sink_are_not_to_blame():
    held_up = tasks(windows_busy=1000, sink_busy=1000, windows_held_up=900, source_held_up=900)  # of two subtasks
    assert verdict(**LAG, tasks=held_up) is Verdict.SINK


def test_a_busy_sink_that_holds_nobody_up_is_not_to_blame():
    assert verdict(**LAG, tasks=tasks(windows_busy=900, sink_busy=1000)) is Verdict.PYTHON


def test_slow_checkpoints_behind_a_slow_sink_are_its_consequence():
    slow = {"checkpoints_failed": 5.0, "checkpoint_ms": 600_000.0}
    held_up = tasks(sink_busy=1000, windows_held_up=1000, source_held_up=1000)
    assert diagnose(Symptoms(**LAG, **slow, tasks=held_up)).also == ()
    assert verdict(**LAG, **slow, tasks=tasks()) is Verdict.CHECKPOINT


def test_a_reader_that_catches_up_does_not_make_the_stream_look_full():
    assert verdict(**LAG, shard_records=5_000.0, tasks=tasks()) is Verdict.CONSUMER


def test_what_holds_too_is_said_beside_the_verdict():
    found = diagnose(Symptoms(**LAG, cpu_percent=95.0, producers_refused=3.0))
    assert (found.verdict, found.also) == (Verdict.PYTHON, (Verdict.STREAM,))


def test_the_evidence_of_a_cause_is_over_its_threshold_and_of_health_below():
    for name, (wanted, at, _) in AT_ITS_THRESHOLD.items():
        found = diagnose(Symptoms(**at))
        assert any(fact.is_over for fact in found.evidence), name
        if wanted is not Verdict.CONSUMER:  # there, that nothing else is busy speaks for it
            assert all(fact.is_over for fact in found.evidence), name
    healthy = diagnose(Symptoms(**KEEPS_UP, tasks=tasks(), cpu_percent=10.0))
    assert healthy.evidence
    assert not any(fact.is_over for fact in healthy.evidence)


def test_every_figure_moves_some_verdict():
    looked_at = {field.name for field in dataclasses.fields(Symptoms)}
    logic = (ROOT / "flink_app" / "doctor.py").read_text()
    assert looked_at == {name for name in looked_at if f"seen.{name}" in logic or f"self.{name}" in logic}


def test_every_verdict_has_a_next_step_whose_section_is_in_the_runbook():
    titles = re.findall(r"^### (.+)$", (ROOT / "deploy" / "RUNBOOK.md").read_text(), re.MULTILINE)
    anchors = {title.lower().replace(" ", "-") for title in titles}
    assert NEXT_STEPS.keys() == set(Verdict)
    assert {anchor for _, anchor in NEXT_STEPS.values()} <= anchors


def test_the_report_says_verdict_figure_threshold_and_place():
    console = Console(width=140, record=True, file=None, quiet=True)
    with console.capture() as captured:
        console.quiet = False
        console.print(report(diagnose(Symptoms(behind_ms=20_000.0, cpu_percent=91.0, producers_refused=2.0))))
    told = captured.get()
    for wanted in ("Python bound", "20,000", "15,000", "91", "80", "over", "also: stream bound", "#python-bound"):
        assert wanted in told
