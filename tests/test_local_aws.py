"""The local AWS endpoint: what `local up` promises, on a folder and ports of its own."""

import json
import os
import socket
import subprocess
import sys

import pytest

from flink_app.local import aws
from flink_app.properties import read_properties

pytestmark = pytest.mark.e2e


def fraud_windows(tmp_path, *arguments, **environment):
    """The command line with its state under tmp_path: (exit code, output)."""
    done = subprocess.run(
        [sys.executable, "-m", "flink_app", *arguments],
        env={**os.environ, "FRAUD_WINDOWS_LOCAL_DIR": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_up_creates_everything_twice_changes_nothing_and_down_leaves_nothing(tmp_path):
    code, first = fraud_windows(tmp_path, "local", "up")
    try:
        assert code == 0, first
        assert "embedded AWS started: http://127.0.0.1:" in first
        assert "created stream payments (4 shards), table fraud-features, bucket fraud-windows" in first
        code, second = fraud_windows(tmp_path, "local", "up")
        assert code == 0
        assert "runs already" in second
        assert "created" not in second
        properties = read_properties(tmp_path / "application_properties.json")
        assert properties.aws.endpoint in first
        assert properties.aws.endpoint in fraud_windows(tmp_path, "local", "status")[1]
        code, other = fraud_windows(tmp_path, "local", "up", "--aws", "localstack")
        assert code == 2
        assert "run `local down` first" in other
    finally:
        assert fraud_windows(tmp_path, "local", "down")[0] == 0
    host, port = properties.aws.endpoint.removeprefix("http://").split(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0
    assert "nothing runs" in fraud_windows(tmp_path, "local", "status")[1]


def test_localstack_without_an_endpoint_and_without_docker_is_one_clear_line(tmp_path):
    code, output = fraud_windows(
        tmp_path, "local", "up", "--aws", "localstack", AWS_ENDPOINT_URL="", PATH=str(tmp_path)
    )
    assert code == 2
    assert output.startswith("error: --aws localstack: AWS_ENDPOINT_URL is not set, and Docker does not answer")
    assert output.count("\n") == 1


def test_localstack_is_found_by_aws_endpoint_url_and_left_running(tmp_path):
    with aws.embedded_aws(tmp_path / "aws") as elsewhere:  # it has LocalStack's health page
        code, output = fraud_windows(
            tmp_path, "local", "up", "--aws", "localstack", AWS_ENDPOINT_URL=elsewhere.endpoint
        )
        assert code == 0, output
        assert f"LocalStack of AWS_ENDPOINT_URL: {elsewhere.endpoint}" in output
        assert "goes on" in fraud_windows(tmp_path, "local", "down")[1]
        assert elsewhere.client("kinesis").list_streams()["StreamNames"] == [aws.STREAM]


def test_the_features_table_has_the_promised_keys_and_its_ttl_on(tmp_path):
    with aws.embedded_aws(tmp_path) as local:
        dynamodb = local.client("dynamodb")
        table = dynamodb.describe_table(TableName=aws.TABLE)["Table"]
        assert [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] == [
            ("customer_id", "HASH"),
            ("feature_window", "RANGE"),
        ]
        ttl = dynamodb.describe_time_to_live(TableName=aws.TABLE)["TimeToLiveDescription"]
        assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
        groups = json.loads(local.properties.read_text())
        assert {"region": aws.REGION, "endpoint": local.endpoint} in [group["PropertyMap"] for group in groups]
