"""The job on Kinesis, DynamoDB and S3 from end to end: what one run can show, against generator and oracle.

The same on the embedded AWS, with the stream on kinesis-local and resharded under load, and (make localstack) on
LocalStack.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from flink_app.features_table import differences
from flink_app.local.aws import SHARDS
from flink_app.trace import trace
from tests import e2e_kinesis_run, kinesis_local, oracle
from tests.e2e_kinesis_run import SEED
from tests.e2e_stage import MASKING_KEY, open_stage
from tests.localstack import endpoint

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def resharded_run(stage):
    if lacking := kinesis_local.missing():
        pytest.skip(f"this machine lacks {lacking}")
    with kinesis_local.on_kinesis_local(stage) as resharded:
        return e2e_kinesis_run.resharded_run(resharded)


@pytest.fixture(scope="module")
def localstack_run(tmp_path_factory):
    if lacking := endpoint.missing():
        pytest.skip(f"LocalStack: {lacking}")
    with open_stage(tmp_path_factory.mktemp("localstack"), endpoint.localstack_aws()) as stage:
        yield e2e_kinesis_run.localstack_run(stage)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("kinesis_run", id="embedded"),
        pytest.param("resharded_run", id="resharded"),
        pytest.param("localstack_run", id="localstack", marks=pytest.mark.localstack),
    ],
)
def run(request):
    return request.getfixturevalue(request.param)


def test_every_record_leaves_by_one_exit_and_by_the_one_that_the_generator_meant(run):
    assert run.account.is_balanced, run.account.lines()
    truth = {"counted" if name == "accepted" else name: count for name, count in vars(run.truth).items()}
    assert dict(run.account.exits) == truth | {"window_closed": 0}
    assert Counter(run.account.exits) == run.exits  # equal counters: a missing one is a zero
    assert all(count > 10 for count in truth.values())


def test_the_raw_archive_has_every_record_that_was_sent_byte_for_byte(run):
    assert Counter(record.data for record in run.records) == run.world.sent
    assert len({(record.shard, record.number) for record in run.records}) == len(run.records)


def test_every_rejected_record_is_in_the_quarantine_with_raw_bytes_reason_and_detail(run):
    quarantined = run.world.quarantine()
    reasons = Counter(reason for _, reason, _ in quarantined)
    assert reasons == {name: getattr(run.truth, name) for name in ("malformed", "future", "too_late")}
    for record, reason, detail in quarantined:
        assert detail
        _, exits = oracle.accepted_events([(record.data, record.arrival)])
        assert exits == {reason: 1}, (record, detail)
    assert {record for record, _, _ in quarantined} <= set(run.records)
    assert len({(record.shard, record.number) for record, _, _ in quarantined}) == len(quarantined)


def test_the_final_rows_are_the_oracles_each_exactly_once(run):
    assert list(differences(run.rows, run.wanted)) == [], f"seed {SEED}"
    assert set(run.world.history_rows().values()) == {1}
    assert len(run.world.history_rows()) == len(run.wanted)
    assert run.account.final_rows == len(run.wanted)


def test_the_features_table_equals_the_final_rows(run):
    assert list(differences(run.world.items(), run.rows)) == []


def test_an_item_has_the_promised_attributes(run):
    page = run.world.stage.aws.client("dynamodb").scan(TableName=run.world.name, Limit=50)
    for item in page["Items"]:
        feature_set, _, end = item["feature_window"]["S"].partition("#")
        size, _ = oracle.WINDOWS[feature_set]
        window_end = datetime.fromisoformat(end)
        assert item["feature_set"]["S"] == feature_set
        assert item["window_end"]["S"] == end
        assert datetime.fromisoformat(item["window_start"]["S"]) == window_end - timedelta(milliseconds=size)
        assert int(item["expires_at"]["N"]) == int(window_end.timestamp()) + 30 * 86_400
        assert run.started_ms < int(item["emitted_at"]["N"]) < time.time() * 1000


def test_the_last_windows_appear_live_and_final_while_the_stream_is_silent(run):
    last_windows = {key: row for key, row in run.wanted.items() if key[1].startswith("card_velocity#")}
    assert run.live_before_the_end == last_windows
    assert run.final_before_the_end.items() >= last_windows.items()


def test_a_trace_tells_both_exits_of_an_event_that_was_sent_twice_and_the_rows_that_count_it(run):
    rejected = {record.data for record, _, _ in run.world.quarantine()}
    twice = next(data for data, times in run.world.sent.items() if times == 2 and data not in rejected)
    began, now = (datetime.fromtimestamp(seconds, UTC) for seconds in (run.started_ms / 1000, time.time()))
    found = trace(run.world.properties, json.loads(twice)["event_id"], began, now)
    first, second = found.sightings
    assert (first.exit, second.exit) == ("counted", "duplicate")
    assert found.rows.keys() == {first.customer}
    assert {row["feature_window"] for rows in found.rows[first.customer].values() for row in rows} == {
        window for customer, window in run.wanted if customer == first.customer and _holds(window, first.time)
    }


def _holds(feature_window, time_ms):
    feature_set, _, end = feature_window.partition("#")
    end_ms = datetime.fromisoformat(end).timestamp() * 1000
    return end_ms - oracle.WINDOWS[feature_set][0] <= time_ms < end_ms


def test_personal_data_and_the_masking_key_are_in_no_output_and_no_log(run):
    world, cluster = run.world, run.world.stage.cluster
    assert any(b"@example.com" in record.data for record in run.records)
    outputs = [repr(world.items()), run.shown_by_flink]
    outputs += [repr(world.final_rows()), *(detail for _, _, detail in world.quarantine())]
    outputs += [file.read_text(errors="replace") for file in cluster.logs.rglob("*") if file.is_file()]
    outputs += [file.read_bytes().decode("latin-1") for group in ("history", "account") for file in world.files(group)]
    for output in outputs:
        assert "@example.com" not in output
        assert MASKING_KEY not in output


def test_records_came_from_shards_that_were_split_or_merged_and_from_those_that_followed(resharded_run):
    split_in_two, merged_from_two = 2, 1
    shards = {f"shardId-{number:012}" for number in range(SHARDS + split_in_two + merged_from_two)}
    assert {record.shard for record in resharded_run.records} == shards
