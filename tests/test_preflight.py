"""Preflight and the command line: every problem is one line on stderr, exit code 2, no stack trace."""

import json
import sys
from pathlib import Path

import pytest

from flink_app.cli import main
from flink_app.local import aws
from flink_app.local.places import free_port
from flink_app.local.watchdog import Watchdog
from flink_app.preflight import PreflightError, check_endpoints
from flink_app.properties import parse_properties, read_properties
from flink_app.show import customer_features, feature_tables


@pytest.fixture
def fraud_windows(monkeypatch, capsys):
    """The command line, in this process: (exit code, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fraud-windows", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return (end.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    with aws.embedded_aws(tmp_path_factory.mktemp("aws")) as local:
        yield local


def properties(endpoint, **changes):
    groups = aws.job_properties(endpoint)
    for key, value in changes.items():
        group, _, name = key.partition("_")
        groups[group] = {**groups[group], name: value}
    return parse_properties([{"PropertyGroupId": g, "PropertyMap": m} for g, m in groups.items()], "file")


def problems(read):
    with pytest.raises(PreflightError) as error:
        check_endpoints(read)
    return error.value.problems


@pytest.mark.slow
def test_nothing_there_at_all_is_one_line():
    nowhere = aws.LocalAws("embedded", f"http://127.0.0.1:{free_port()}")
    (problem,) = problems(properties(nowhere))
    assert problem == (
        f"Aws.endpoint {nowhere.endpoint}: kinesis and dynamodb and s3 cannot be reached"
        " · run `fraud-windows local up` (and take the properties that it writes)"
    )


@pytest.mark.e2e
def test_what_up_created_is_what_the_job_needs(endpoint):
    check_endpoints(read_properties(endpoint.properties))


@pytest.mark.e2e
def test_missing_things_are_told_together(endpoint):
    found = problems(
        properties(endpoint, Source_stream="paiments", Features_table="featurs", History_path="s3://bocket/a")
    )
    where = f"not found at Aws.endpoint {endpoint.endpoint} · run `fraud-windows local up`, or correct the name"
    assert found == (
        f"Source.stream: stream 'paiments' {where}",
        f"Features.table: table 'featurs' {where}",
        f"History.path: bucket 'bocket' {where}",
    )


@pytest.mark.e2e
def test_a_table_with_another_key_is_refused(endpoint):
    endpoint.client("dynamodb").create_table(
        TableName="other",
        KeySchema=[{"AttributeName": "customer_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "customer_id", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )
    (problem,) = problems(properties(endpoint, Features_table="other"))
    got, wanted = "customer_id HASH N", "customer_id HASH S, feature_window RANGE S"
    assert problem.startswith(f"Features.table: table 'other' has the key {got} · wanted {wanted} · ")


@pytest.mark.e2e
def test_wrong_credentials_are_named_once(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTH", "true")  # this server verifies signatures
    watchdog = Watchdog()
    try:
        server = aws._start_embedded(tmp_path / "aws", watchdog.watch)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        found = problems(properties(server))
    finally:
        watchdog.end()
    assert len(found) <= 3
    for problem in found:
        assert "credentials" in problem
        assert "\n" not in problem


@pytest.mark.e2e
def test_show_prints_each_feature_set_newest_first(endpoint, fraud_windows):
    dynamodb = endpoint.client("dynamodb")
    for name, end, count in [("a_1m", "12:01", 1), ("a_1m", "12:02", 2), ("a_5m", "12:05", 3), ("b", "12:00", 4)]:
        row = {
            "customer_id": {"S": "c1"},
            "feature_window": {"S": f"{name}#2026-01-31T{end}:00Z"},
            "window_end": {"S": f"2026-01-31T{end}:00Z"},
            "tx_count": {"N": str(count)},
            "emitted_at": {"N": "1769860800123"},
        }
        dynamodb.put_item(TableName=aws.TABLE, Item=row)
    found = customer_features(dynamodb, aws.TABLE, "c1")
    assert {name: [int(row["tx_count"]) for row in rows] for name, rows in found.items()} == {
        "a_1m": [2, 1],
        "a_5m": [3],
        "b": [4],
    }
    assert list(customer_features(dynamodb, aws.TABLE, "c1", "a_1m", limit=1)) == ["a_1m"]
    assert [table.title for table in feature_tables("c1", found)] == ["c1 · a_1m", "c1 · a_5m", "c1 · b"]

    given = ["--properties", str(endpoint.properties)]
    code, out, _ = fraud_windows("show", "c1", *given)
    assert code == 0
    assert out.index("c1 · a_1m") < out.index("12:02") < out.index("12:01") < out.index("c1 · a_5m")
    assert "12:00:00.123" in out
    assert fraud_windows("show", "nobody", *given)[:2] == (0, "nothing stored for customer nobody\n")


@pytest.mark.e2e
def test_generate_reaches_the_stream(endpoint, fraud_windows):
    given = ["--properties", str(endpoint.properties), "--events", "700", "--rate", "2000", "--seed", "5"]
    code, out, err = fraud_windows("generate", "--to", "kinesis", *given)
    assert code == 0, err
    assert "700 records in " in out
    kinesis, stored = endpoint.client("kinesis"), 0
    for shard in kinesis.list_shards(StreamName=aws.STREAM)["Shards"]:
        start = {"ShardIteratorType": "TRIM_HORIZON"}
        at = kinesis.get_shard_iterator(StreamName=aws.STREAM, ShardId=shard["ShardId"], **start)["ShardIterator"]
        stored += len(kinesis.get_records(ShardIterator=at)["Records"])
    assert stored == 700


@pytest.mark.parametrize(
    "command", [[], ["local"], *([name] for name in ("generate", "run", "check", "show")), ["local", "up"]]
)
def test_every_command_has_help(command, fraud_windows):
    code, out, _ = fraud_windows(*command, "--help")
    assert code == 0
    assert " ".join(["Usage: fraud-windows", *command]) in out


@pytest.mark.parametrize("command", [["show", "c1"], ["run"], ["generate", "--to", "kinesis", "--events", "1"]])
def test_bad_properties_are_lines_with_exit_code_2(command, tmp_path, fraud_windows):
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps([{"PropertyGroupId": "Sauce", "PropertyMap": {}}]))
    code, _, err = fraud_windows(*command, "--properties", str(bad))
    assert code == 2
    lines = err.splitlines()
    assert lines[0] == f"error: {bad}: Sauce: unknown group · did you mean 'Source'?"
    assert all(line.startswith(f"error: {bad}: ") for line in lines)
    assert len(lines) > 3


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--to", "a.csv"], "error: --to a.csv: wanted kinesis, FILE.parquet or FILE.jsonl\n"),
        (["--to", "a.jsonl", "--start", "2026"], "error: --start: got '2026' · wanted ISO 8601 with Z or an offset"),
        (["--to", "a.jsonl", "--late", "0.9", "--future", "0.9"], "error: shares: got "),
    ],
)
def test_bad_options_of_generate_are_one_line(options, line, fraud_windows):
    code, _, err = fraud_windows("generate", "--events", "10", *options)
    assert code == 2
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert not Path("a.csv").exists()
