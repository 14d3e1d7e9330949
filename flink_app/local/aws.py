"""The local AWS endpoint, MiniStack as a process of this machine or LocalStack: stream, features table and bucket.

`up` leaves a daemon that `down` ends; `embedded_aws` is the same for the length of a `with` block (demo, tests).
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flink_app.aws_clients import client
from flink_app.errors import FraudWindowsError
from flink_app.local.places import LOCAL, ROOT, free_port
from flink_app.local.watchdog import Watchdog, end_groups, signal_group
from flink_app.properties import write_properties

REGION, STREAM, SHARDS, TABLE, BUCKET = "us-east-1", "payments", 4, "fraud-features", "fraud-windows"
EMIT_INTERVAL_MS = 250  # a small stream: fresher rows cost hardly more writes
LOCALSTACK_IMAGE = "localstack/localstack:4.14.0"
PREFERRED_PORT = 4566

Progress = Callable[[str], None]


class LocalAwsError(FraudWindowsError):
    """The local AWS endpoint could not be started or found."""


@dataclass(frozen=True)
class LocalAws:
    """A local AWS endpoint that is up.

    Attributes:
        kind: 'embedded' or 'localstack'.
        endpoint: http://127.0.0.1:PORT.
        pid: process group of the embedded server; None for LocalStack.
        container: Docker container that `up` started; None for the others.
        properties: file with the job's properties for it.
    """

    kind: str
    endpoint: str
    pid: int | None = None
    container: str | None = None
    properties: Path = LOCAL / "application_properties.json"

    def client(self, service: str) -> Any:
        """A boto3 client for it."""
        return client(service, REGION, self.endpoint)


def up(kind: str = "embedded", progress: Progress = print) -> LocalAws:
    """Start the endpoint unless it runs, create what is missing in it, write the job's properties."""
    running = status()
    if running and running.kind != kind:
        raise LocalAwsError(f"{running.kind} runs at {running.endpoint} · wanted {kind} · run `local down` first")
    if running:
        progress(f"{kind} AWS runs already: {running.endpoint}")
    aws = running or (_start_embedded(LOCAL / "aws") if kind == "embedded" else _find_or_start_localstack(progress))
    if not running:
        progress(f"{kind} AWS started: {aws.endpoint}")
        _state_file().parent.mkdir(parents=True, exist_ok=True)
        _state_file().write_text(json.dumps({**asdict(aws), "properties": str(aws.properties)}))
    create_resources(aws, progress)
    write_properties(aws.properties, job_properties(aws))
    progress(f"properties of the job: {_short(aws.properties)}")
    return aws


def down(progress: Progress = print) -> None:
    """End what `up` started and delete its data; fine if nothing runs."""
    aws = _read_state()
    if aws is None:
        progress("no local AWS runs")
    elif aws.pid is not None:
        if _is_server(aws.pid):
            end_groups([aws.pid])
        progress(f"embedded AWS at {aws.endpoint} stopped")
    elif aws.container:
        subprocess.run(["docker", "rm", "--force", aws.container], check=False, capture_output=True)
        progress(f"LocalStack container at {aws.endpoint} removed")
    else:
        progress(f"LocalStack at {aws.endpoint} was not started here and goes on")
    shutil.rmtree(LOCAL / "aws", ignore_errors=True)


def status() -> LocalAws | None:
    """The endpoint that `up` started or found, if it answers."""
    aws = _read_state()
    return aws if aws and _answers(aws.endpoint) and (aws.pid is None or _is_server(aws.pid)) else None


@contextlib.contextmanager
def embedded_aws(directory: Path, progress: Progress = lambda _: None) -> Iterator[LocalAws]:
    """An embedded endpoint of its own, with stream, table and bucket; ends with the block or with this process.

    `directory` gets its data, its log and `application_properties.json`.
    """
    watchdog = Watchdog()
    try:
        aws = _start_embedded(directory, watchdog.watch)
        progress(f"embedded AWS: {aws.endpoint}")
        create_resources(aws, progress)
        write_properties(aws.properties, job_properties(aws))
        yield aws
    finally:
        watchdog.end()


def create_resources(aws: LocalAws, progress: Progress = lambda _: None) -> None:
    """Create stream, features table (TTL on) and bucket where they are missing."""
    kinesis, dynamodb, s3 = (aws.client(service) for service in ("kinesis", "dynamodb", "s3"))
    made = []
    if STREAM not in kinesis.list_streams()["StreamNames"]:
        kinesis.create_stream(StreamName=STREAM, ShardCount=SHARDS)
        kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1})
        made.append(f"stream {STREAM} ({SHARDS} shards)")
    if TABLE not in dynamodb.list_tables()["TableNames"]:
        create_features_table(dynamodb, TABLE)
        made.append(f"table {TABLE}")
    if BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET)
        made.append(f"bucket {BUCKET}")
    if made:
        progress("created " + ", ".join(made))


def create_features_table(dynamodb: Any, table: str) -> None:
    """The features table as the job and the model expect it."""
    dynamodb.create_table(
        TableName=table,
        KeySchema=[
            {"AttributeName": "customer_id", "KeyType": "HASH"},
            {"AttributeName": "feature_window", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "customer_id", "AttributeType": "S"},
            {"AttributeName": "feature_window", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1})
    dynamodb.update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
    )


def job_properties(aws: LocalAws) -> dict[str, dict[str, str]]:
    """The job's property groups for a local endpoint."""
    return {
        "Aws": {"region": REGION, "endpoint": aws.endpoint},
        "Source": {"kind": "kinesis", "stream": STREAM, "initial.position": "TRIM_HORIZON"},
        "Features": {"table": TABLE, "emit.interval.ms": str(EMIT_INTERVAL_MS)},
        "History": {"path": f"s3://{BUCKET}/features"},
        "Archive": {"path": f"s3://{BUCKET}/raw"},
        "Quarantine": {"path": f"s3://{BUCKET}/quarantine"},
        "Account": {"path": f"s3://{BUCKET}/account"},
        "State": {"buckets": "4"},  # for one or two cores; fewer buckets, larger batches
        "Masking": {"key": "a local key, which is no secret"},
    }


def _start_embedded(directory: Path, started: Callable[[subprocess.Popen[bytes]], None] = lambda _: None) -> LocalAws:
    """Start MiniStack in its own process group; a port that somebody takes meanwhile means another try."""
    for folder in (directory / "s3", directory / "tmp"):
        shutil.rmtree(folder, ignore_errors=True)  # of a server that was killed; its buckets belong to another account
        folder.mkdir(parents=True)
    log = directory / "ministack.log"
    for _ in range(5):
        port = free_port(PREFERRED_PORT)
        account = f"{secrets.randbelow(10**12):012}"  # tells this server from one that took the port meanwhile
        environment = {
            **os.environ,
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "MINISTACK_ACCOUNT_ID": account,
            "IOT_MTLS_ENABLED": "0",
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(directory / "s3"),
            "TMPDIR": str(directory / "tmp"),
            "LOG_LEVEL": "WARNING",
        }
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "flink_app.local.ministack_server"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=ROOT,
                start_new_session=True,
            )
        started(process)
        endpoint = f"http://127.0.0.1:{port}"
        if _wait_for(endpoint, process, 30) and _account(endpoint) == account:
            properties = LOCAL / "application_properties.json"
            if directory != LOCAL / "aws":
                properties = directory / "application_properties.json"
            return LocalAws("embedded", endpoint, pid=process.pid, properties=properties)
        end_groups([process.pid])
    raise LocalAwsError(f"the embedded AWS did not start · see {_short(log)}")


def _find_or_start_localstack(progress: Progress) -> LocalAws:
    """The LocalStack of AWS_ENDPOINT_URL if one answers there, else one in Docker."""
    if (endpoint := os.environ.get("AWS_ENDPOINT_URL", "").rstrip("/")) and _answers(endpoint):
        progress(f"LocalStack of AWS_ENDPOINT_URL: {endpoint}")
        return LocalAws("localstack", endpoint)
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "info"], check=False, capture_output=True).returncode:
        looked = f"no LocalStack at AWS_ENDPOINT_URL={endpoint}" if endpoint else "AWS_ENDPOINT_URL is not set"
        raise LocalAwsError(
            f"--aws localstack: {looked}, and Docker does not answer · wanted one of both"
            " · start Docker, set AWS_ENDPOINT_URL, or use --aws embedded"
        )
    port = free_port(PREFERRED_PORT)
    progress(f"starting {LOCALSTACK_IMAGE} on port {port} (the first time Docker downloads it)")
    publish = f"127.0.0.1:{port}:4566"
    command = [
        docker,
        "run",
        "--detach",
        "--publish",
        publish,
        "--env",
        "SERVICES=kinesis,dynamodb,s3",
        LOCALSTACK_IMAGE,
    ]
    started = subprocess.run(command, check=False, capture_output=True, text=True)
    if started.returncode:
        reason = started.stderr.strip().rpartition("\n")[2]
        raise LocalAwsError(f"--aws localstack: docker run failed: {reason} · use --aws embedded without Docker")
    container, endpoint = started.stdout.strip(), f"http://127.0.0.1:{port}"
    if not _wait_for(endpoint, None, 120):
        subprocess.run([docker, "rm", "--force", container], check=False, capture_output=True)
        raise LocalAwsError(f"--aws localstack: {LOCALSTACK_IMAGE} did not answer at {endpoint} within 120 s")
    return LocalAws("localstack", endpoint, container=container)


def _wait_for(endpoint: str, process: subprocess.Popen[bytes] | None, timeout: float) -> bool:
    until = time.monotonic() + timeout
    while not _answers(endpoint):
        if time.monotonic() > until or (process and process.poll() is not None):
            return False
        time.sleep(0.05)
    return True


def _account(endpoint: str) -> str:
    return str(client("sts", REGION, endpoint).get_caller_identity()["Account"])


def _answers(endpoint: str) -> bool:
    """Whether LocalStack's health page is there; MiniStack has it too."""
    try:
        with urllib.request.urlopen(f"{endpoint}/_localstack/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _is_server(pid: int) -> bool:
    """Whether the process group is still the server: process ids are given out again."""
    if not signal_group(pid, 0):
        return False
    listing = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], check=False, capture_output=True, text=True)
    return "ministack_server" in listing.stdout


def _state_file() -> Path:
    return LOCAL / "aws" / "state.json"


def _read_state() -> LocalAws | None:
    try:
        state = json.loads(_state_file().read_text())
    except (OSError, ValueError):
        return None
    return LocalAws(**{**state, "properties": Path(state["properties"])})


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
