"""The doctor's figures: out of Flink's REST answers, and out of CloudWatch's minutes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from botocore.stub import ANY, Stubber
from typer.testing import CliRunner

from flink_app import doctor_cloudwatch
from flink_app.aws_clients import client
from flink_app.cli import app
from flink_app.doctor import Part, Symptoms, Verdict, diagnose
from flink_app.doctor_cloudwatch import FIGURES, INTERVAL_MS, look
from flink_app.doctor_flink import Reading, part_of, short_name, symptoms, written_per_second
from flink_app.errors import FraudWindowsError
from tests.stack_template import Template

NOW = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)
SOURCE = (
    "Source: kinesis[29] -> Calc[30] -> WatermarkAssigner[31] -> TableToDataSteam -> (PythonCalc[34] -> Calc[35], "
    "Calc[68] -> StreamRecordTimestampInserter[69] -> StreamingFileWriter)"
)
WINDOWS = "feature windows -> (*anonymous_datastream_source$6*[40] -> (Calc[41], Calc[45]))"
FEATURES = "Correlate[42] -> Calc[43] -> features[44]: Writer"
HISTORY = "Correlate[59] -> Calc[60] -> StreamingFileWriter -> end: Writer"
SHARD = "Source__kinesis[29].KinesisConsumer.stream.payments.shardId.shardId-00000000000"


# ---- Flink


@pytest.mark.parametrize(
    ("name", "part", "short"),
    [
        (SOURCE, Part.SOURCE, "source and gate"),
        (WINDOWS, Part.WINDOWS, "feature windows"),
        (FEATURES, Part.SINK, "DynamoDB writer 44"),
        (HISTORY, Part.SINK, "S3 files 59"),
        ("GlobalWindowAggregate[70] -> Calc[71]", Part.WINDOWS, "native window 70"),
    ],
)
def test_a_task_is_known_by_its_place_in_the_job(name, part, short):
    assert (part_of(name), short_name(name)) == (part, short)


FIGURES_OF_FLINK = {
    f"{SOURCE}: {SHARD}0.millisBehindLatest": 4_000.0,
    f"{SOURCE}: {SHARD}1.millisBehindLatest": 21_000.0,
    f"{SOURCE}: {SHARD}0.averageRecordSizeBytes": 250.0,
    f"{SOURCE}: {SHARD}1.averageRecordSizeBytes": 300.0,
    f"{WINDOWS}: feature_windows.kinesisanalytics.freshness_ms": 2_500.0,
}


def spent(task, busy, idle, held_up, subtask=0):
    kinds = {"accumulateBusyTimeMs": busy, "accumulateIdleTimeMs": idle, "accumulateBackPressuredTimeMs": held_up}
    return {f"{task}: {subtask}.{kind}": float(value) for kind, value in kinds.items()}


BEFORE = spent(SOURCE, "nan", 50_000, 500) | spent(WINDOWS, 1_000, 49_000, 0) | spent(FEATURES, 500, 49_500, 0)
AFTER = spent(SOURCE, "nan", 54_000, 6_500) | spent(WINDOWS, 2_000, 49_200, 8_800) | spent(FEATURES, 10_400, 49_600, 0)


def flink(times=(BEFORE, AFTER), state="RUNNING", history=(), interval_ms=10_000.0):
    job = {"state": state, "now": 100_000, "timestamps": {"RUNNING": 40_000}}
    before, after = times
    look = Reading(0.0, 500.0, 0.0, before), Reading(10.0, 10_500.0, 0.0, after)
    return symptoms(FIGURES_OF_FLINK, look, job, {"history": list(history)}, interval_ms)


def test_the_figures_of_a_look_are_the_slowest_shards_and_subtasks():
    seen = flink()
    assert (seen.behind_ms, seen.freshness_ms) == (21_000, 2_500)
    assert (seen.shard_records, seen.shard_bytes) == (500, 150_000)
    assert seen.settled_seconds == 60
    assert diagnose(seen).verdict is Verdict.SINK


def test_what_a_task_did_counts_since_the_look_began_and_not_before():
    by_name = {task.name: task for task in flink().tasks}
    assert (by_name["DynamoDB writer 44"].busy_ms, by_name["DynamoDB writer 44"].held_up_ms) == (990, 0)
    assert (by_name["feature windows"].busy_ms, by_name["feature windows"].held_up_ms) == (100, 880)


def test_of_a_source_flink_knows_only_how_long_it_was_held_up():
    by_name = {task.name: task for task in flink().tasks}
    assert (by_name["source and gate"].busy_ms, by_name["source and gate"].held_up_ms) == (None, 600)


def test_of_a_task_the_busiest_subtask_counts():
    idle = spent(FEATURES, 0, 60_000, 0, subtask=1)
    seen = flink((BEFORE | spent(FEATURES, 0, 50_000, 0, subtask=1), AFTER | idle))
    assert [task.busy_ms for task in seen.tasks if task.part is Part.SINK] == [990]


def test_a_look_in_which_flink_told_nothing_new_knows_no_task():
    assert flink((AFTER, AFTER)).tasks == ()


def test_a_reader_that_catches_up_reads_more_than_producers_write():
    began = Reading(at=100.0, read=5_000.0, behind_ms=8_000.0, times={})
    assert written_per_second(began, replace(began, at=110.0, read=15_000.0)) == 1_000
    caught_up = replace(began, at=110.0, read=15_000.0, behind_ms=500.0)  # 17.5 s of the stream in 10
    assert written_per_second(began, caught_up) == pytest.approx(10_000 / 17.5)
    assert written_per_second(caught_up, replace(caught_up, at=120.0, read=24_000.0, behind_ms=900.0)) == 900


def test_a_job_that_restarts_has_not_been_running_at_all():
    assert flink(state="RESTARTING").settled_seconds == 0


def checkpoint(status, milliseconds):
    return {"status": status, "end_to_end_duration": milliseconds}


def test_of_checkpoints_the_newest_counts_and_failures_among_the_last_five():
    newest_first = [checkpoint("IN_PROGRESS", 9_000), *[checkpoint("FAILED", 10_000)] * 2]
    newest_first += [checkpoint("COMPLETED", 200)] * 2 + [checkpoint("FAILED", 10_000)]
    seen = flink(history=newest_first)
    assert (seen.checkpoint_ms, seen.checkpoints_failed, seen.checkpoint_interval_ms) == (9_000, 2, 10_000)


def test_a_job_without_checkpoints_has_no_figure_of_them():
    seen = flink(history=[checkpoint("FAILED", 1)], interval_ms=0.0)
    assert (seen.checkpoint_ms, seen.checkpoints_failed) == (None, None)


# ---- CloudWatch


def stubbed(series):
    """A client that answers once: figure -> its minutes; and what it was asked."""
    cloudwatch = client("cloudwatch", "eu-west-1", "http://127.0.0.1:1")
    stubber = Stubber(cloudwatch)
    results = [{"Id": name, "Values": list(values)} for name, values in series.items()]
    asked = {"MetricDataQueries": ANY, "StartTime": ANY, "EndTime": ANY, "ScanBy": "TimestampAscending"}
    stubber.add_response("get_metric_data", {"MetricDataResults": results}, asked)
    stubber.activate()
    return cloudwatch


def test_a_figure_is_the_usual_minute_so_that_a_spike_says_nothing():
    seen = look(stubbed({"behind_ms": [0.0] * 8 + [90_000.0] * 7, "cpu_percent": [95.0] * 15}), "fraud-windows")
    assert (seen.behind_ms, seen.cpu_percent) == (0, 95)


def test_minutes_without_throttling_count_as_none():
    seen = look(stubbed({"behind_ms": [0.0], "rows_refused": [9.0] * 7}), "fraud-windows", 15)
    assert seen.rows_refused == 0
    assert look(stubbed({"behind_ms": [0.0], "rows_refused": [9.0] * 8}), "fraud-windows", 15).rows_refused == 9


def test_failed_checkpoints_are_the_growth_of_a_total_that_begins_again_at_a_restart():
    seen = look(stubbed({"checkpoints_failed": [7.0, 7.0, 8.0, 0.0, 1.0]}), "fraud-windows")
    assert seen.checkpoints_failed == 2


def test_the_newest_checkpoint_and_uptime_count():
    seen = look(stubbed({"checkpoint_ms": [90_000.0, 400.0], "settled_seconds": [1_000.0, 61_000.0]}), "fraud-windows")
    assert (seen.checkpoint_ms, seen.settled_seconds, seen.checkpoint_interval_ms) == (400, 61, INTERVAL_MS)


def test_an_application_without_any_metric_is_an_error_that_says_so():
    with pytest.raises(FraudWindowsError, match="no metric of it"):
        look(stubbed({name: [] for name in FIGURES}), "nobody")


def test_what_cloudwatch_refuses_is_one_line():
    cloudwatch = client("cloudwatch", "eu-west-1", "http://127.0.0.1:1")
    with Stubber(cloudwatch) as stubber:
        stubber.add_client_error("get_metric_data", "AccessDenied", "not for you")
        with pytest.raises(FraudWindowsError, match="AccessDenied"):
            look(cloudwatch, "fraud-windows")


def test_the_stack_has_the_names_and_shows_the_metrics_that_are_asked_for():
    template = Template()
    only_asked = {("AWS/DynamoDB", "SuccessfulRequestLatency"), ("AWS/KinesisAnalytics", "uptime")}
    asked = {(figure.namespace, figure.metric) for figure in FIGURES.values()}
    assert asked - only_asked <= template.metrics()
    names = {
        ("StreamName", template.resources["Stream"]["Properties"]["Name"]),
        ("TableName", template.resources["FeaturesTable"]["Properties"]["TableName"]),
        ("Application", template.resources["FlinkApplication"]["Properties"]["ApplicationName"]),
    }
    assert {(figure.dimension, f"fraud-windows{figure.suffix}") for figure in FIGURES.values()} == names


def test_the_interval_between_checkpoints_is_the_stacks():
    configuration = Template().resources["FlinkApplication"]["Properties"]["ApplicationConfiguration"]
    checkpoints = configuration["FlinkApplicationConfiguration"]["CheckpointConfiguration"]
    assert checkpoints["CheckpointInterval"] == INTERVAL_MS


def test_every_figure_of_cloudwatch_is_one_of_the_symptoms():
    assert Symptoms.__dataclass_fields__.keys() >= FIGURES.keys()


# ---- the command


@pytest.mark.parametrize("words", [[], ["--application", "a", "--url", "http://127.0.0.1:1"], ["--url", "nowhere"]])
def test_the_command_wants_one_place_to_look_at(words):
    refused = CliRunner().invoke(app, ["doctor", *words]).exception
    assert isinstance(refused, FraudWindowsError)  # main() makes a line and exit code 2 of it


@pytest.mark.parametrize(
    ("seen", "code", "told"),
    [
        (Symptoms(behind_ms=0.0), 0, "healthy"),
        (Symptoms(behind_ms=20_000.0, rows_refused=5.0), 1, "sink bound"),
        (Symptoms(), 1, "not enough data"),
    ],
)
def test_the_exit_code_says_whether_it_is_healthy(monkeypatch, seen, code, told):
    monkeypatch.setattr(doctor_cloudwatch, "look_at_application", lambda name, region, minutes: seen)
    result = CliRunner().invoke(app, ["doctor", "--application", "a", "--region", "eu-west-1"])
    assert (result.exit_code, told in result.output) == (code, True)
