"""The zip for the managed service: the same bytes each time, everything inside, and a job that runs from it alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

import duckdb
import pytest

from flink_app import package
from flink_app.delivery import to_kinesis
from flink_app.features_table import stored_items
from flink_app.generate import payments
from flink_app.lake import download
from flink_app.local.aws import BUCKET, STREAM, TABLE, embedded_aws, job_properties
from flink_app.local.cluster import FlinkCluster
from flink_app.local.cluster_config import ClusterSettings
from flink_app.local.places import JAR, LOCAL, ROOT
from flink_app.package import PYTHON_FOLDER, REQUIREMENTS, RUN_OPTIONS, PackageError, build_package
from flink_app.properties import Aws, write_properties
from tests.api_recorder import ApiRecorder
from tests.service_python import closure, make_service_python
from tests.stack_template import SERVICE_METRICS, Template

RECORDED_CALLS = Path(__file__).parent / "recorded_api_calls.txt"
DUCKDB_TYPES = {
    "binary": {"BLOB"},
    "string": {"VARCHAR"},
    "int": {"INTEGER"},
    "bigint": {"BIGINT"},
    "timestamp": {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"},
}
SEED, EVENTS = 5, 600


@pytest.fixture(scope="module")
def zipped(tmp_path_factory):
    """A package of this checkout."""
    assert JAR.exists(), f"{JAR} is missing; build it with: make jar"
    return build_package(tmp_path_factory.mktemp("package") / "fraud-windows.zip")


@pytest.mark.e2e
def test_the_same_input_gives_the_same_bytes_wherever_and_whenever_it_was_checked_out(zipped, tmp_path, monkeypatch):
    for folder in ("flink_app", "operators", "sql"):
        shutil.copytree(ROOT / folder, tmp_path / folder, copy_function=shutil.copyfile)  # other dates and modes
        (tmp_path / folder / "left over.pyc").touch()
    (tmp_path / "flink_app" / "job.py").chmod(0o600)
    monkeypatch.setattr(package, "ROOT", tmp_path)
    assert build_package(tmp_path / "other name.zip").sha256 == zipped.sha256
    with (tmp_path / "sql" / "events.sql").open("a") as contract:
        contract.write("-- changed\n")
    assert build_package(tmp_path / "changed.zip").sha256 != zipped.sha256


@pytest.mark.e2e
def test_every_module_and_every_sql_file_is_inside_as_it_is_here(zipped):
    listed = subprocess.run(
        ["git", "ls-files", "flink_app/*.py", "operators/*.py", "sql/*.sql"], cwd=ROOT, check=True, capture_output=True
    )
    tracked = set(listed.stdout.decode().split())
    assert {"flink_app/main.py", "sql/windows/card_velocity.sql", "sql/sinks/features.sql"} <= tracked
    with zipfile.ZipFile(zipped.path) as inside:
        names = set(inside.namelist())
        assert tracked <= names
        for name in tracked:
            assert inside.read(name) == (ROOT / name).read_bytes()
        assert inside.testzip() is None
    assert set(RUN_OPTIONS.values()) - names == {f"{PYTHON_FOLDER}/"}
    assert {name.partition("/")[0] for name in names} == {"flink_app", "operators", "sql", "lib", PYTHON_FOLDER}
    assert [name for name in names if name.endswith(".jar")] == [RUN_OPTIONS["jarfile"]]  # the service takes one


@pytest.mark.e2e
def test_a_zip_that_the_service_would_refuse_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(package, "MAX_BYTES", 10 * 2**20)
    with pytest.raises(PackageError, match=r"got \d+ MiB · wanted at most 10 MiB"):
        build_package(tmp_path / "large.zip")
    monkeypatch.setattr(package, "JAR", ROOT / "absent.jar")
    with pytest.raises(PackageError, match=r"absent\.jar: no such file · wanted the connector jar · run `make jar`"):
        build_package(tmp_path / "without.zip")


def test_the_wheels_are_what_the_job_needs_and_the_service_has_not():
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE))
    needed = closure("boto3", "msgspec").keys() - closure("apache-flink").keys()
    assert locked == {name: closure(name)[name].version for name in needed}
    pinned = (ROOT / "requirements.txt").read_text().splitlines()
    assert all(any(line.startswith(f"{name}=={version} ") for line in pinned) for name, version in locked.items())


@pytest.mark.e2e
def test_the_job_runs_from_the_zip_alone_as_the_service_starts_it(zipped, tmp_path, monkeypatch):
    """The service unpacks the zip, links the entry script elsewhere, and has a Python without this project."""
    print(f"seed {SEED}")
    code, home = tmp_path / "code", tmp_path / "home"
    home.mkdir()
    with zipfile.ZipFile(zipped.path) as inside:
        inside.extractall(code)
    unpacked = sorted(code.rglob("*"))
    entry = tmp_path / "entry" / "script.py"
    entry.parent.mkdir()
    entry.symlink_to(code / RUN_OPTIONS["python"])
    python = make_service_python(tmp_path / "python")
    assert_knows_nothing_of_this_project(python, home)

    with embedded_aws(tmp_path / "aws") as aws, ApiRecorder(aws.endpoint) as recorder:
        settings = ClusterSettings(
            s3_endpoint=recorder.url,
            checkpoint_interval_ms=2_000,
            extra={"python.executable": python, "python.client.executable": python},
        )
        clean = {"HOME": str(home), "PYTHONPATH": ""}
        with FlinkCluster(settings, directory=tmp_path / "flink", environment=clean) as cluster:
            job = cluster.submit(
                entry,
                jar=code / RUN_OPTIONS["jarfile"],
                py_files=[code / RUN_OPTIONS["pyFiles"]],
                properties=service_properties(tmp_path, aws, recorder.url),
            )
            cluster.wait_running(job, timeout=120)
            start_ms = int(time.time() * 1000) - 40_000  # the first windows have ended when they are sent
            chunks = payments(seed=SEED, events=EVENTS, customers=20, rate=1_000, start_ms=start_ms)
            to_kinesis(chunks, aws.client("kinesis"), STREAM, start_ms=start_ms)
            cluster.wait("rows", lambda: len(stored_items(aws.client("dynamodb"), TABLE)) >= 20, 90)
            assert_written_below(tmp_path, cluster.worker_pids())
            assert_the_canary_comes_back(Template().canary_code(), aws, monkeypatch)
            own = {name for space, name in Template().metrics() if space == "AWS/KinesisAnalytics"} - SERVICE_METRICS
            cluster.wait("the metrics of alarms and dashboard", lambda: registered_metrics(cluster, job) == own, 60)
            cluster.stop_with_savepoint(job, drain=True)
        for folder in ("raw", "quarantine", "features", "account"):
            download(f"s3://{BUCKET}/{folder}", tmp_path / "lake" / folder, Aws(endpoint=aws.endpoint))
    for table in Template().of_type("AWS::Glue::Table").values():
        assert_readable(table["TableInput"], tmp_path / "lake")
    shutil.rmtree(f"{LOCAL / 'pycache'}{code}", ignore_errors=True)  # kept between runs for Flink's own modules
    assert sorted(code.rglob("*")) == unpacked
    assert list(home.iterdir()) == []
    assert sorted(recorder.actions) == RECORDED_CALLS.read_text().split(), "tests/test_stack.py judges the policy by it"


def service_properties(folder, aws, endpoint):
    """As the service hands them over: its own groups among them, and a secret's name instead of the masking key."""
    aws.client("secretsmanager").create_secret(Name="masking", SecretString="0123456789abcdef")
    groups = job_properties(aws) | {
        "Masking": {"secret": "masking"},
        "kinesis.analytics.flink.run.options": RUN_OPTIONS,
    }
    groups["Aws"] = groups["Aws"] | {"endpoint": endpoint}
    path = folder / "etc" / "flink" / "application_properties.json"
    write_properties(path, groups)
    return path


def assert_knows_nothing_of_this_project(python, home):
    names = ("pyflink", "flink_app", "operators", "msgspec", "boto3")
    probe = f"import importlib.util as u; print([name for name in {names} if u.find_spec(name)])"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    found = subprocess.run([python, "-c", probe], cwd=home, env=environment, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "['pyflink']"


def assert_written_below(folder, pids):
    """No process of the TaskManager, Python workers included, has a file open for writing elsewhere."""
    seen = 0
    for pid in pids:
        for number in Path(f"/proc/{pid}/fdinfo").iterdir():
            try:
                flags = int(re.search(r"^flags:\s*(\d+)", number.read_text(), re.MULTILINE)[1], 8)
                target = Path(f"/proc/{pid}/fd/{number.name}").readlink()
            except FileNotFoundError:  # closed since they were listed
                continue
            if flags & (os.O_WRONLY | os.O_RDWR) and target.is_absolute() and target.parts[1] != "dev":
                assert target.is_relative_to(folder), f"process {pid} writes {target}"
                seen += 1
    assert seen, "the logs at least"


def registered_metrics(cluster, job):
    """What the service would forward to CloudWatch."""
    return {name.rpartition(".")[2] for name in cluster.metrics(job, r"\.kinesisanalytics\.\w+$")}


def assert_the_canary_comes_back(code, aws, monkeypatch):
    """The stack's own canary, run once beside the job."""
    with ApiRecorder(aws.endpoint) as recorder:
        environment = {"AWS_ENDPOINT_URL": recorder.url, "AWS_DEFAULT_REGION": "us-east-1", "PATIENCE_SECONDS": "40"}
        environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        environment |= {"APPLICATION": "fraud-windows", "STREAM": STREAM, "TABLE": TABLE}
        with monkeypatch.context() as patched:
            for name, value in environment.items():
                patched.setenv(name, value)
            namespace = {}
            exec(code, namespace)
            namespace["handler"]({}, None)
    rows = [row for (customer, _), row in stored_items(aws.client("dynamodb"), TABLE).items() if customer == "canary"]
    assert {row["tx_count"] for row in rows} == {1}
    metrics = aws.client("cloudwatch").list_metrics(Namespace="FraudWindows")["Metrics"]
    assert [metric["MetricName"] for metric in metrics] == ["canary_ms"]
    assert recorder.actions == {"kinesis:PutRecord", "dynamodb:GetItem", "cloudwatch:PutMetricData"}


def assert_readable(table, lake):
    """A second engine finds a Glue table's columns and partitions in the files, with its types."""
    keys = [key["Name"] for key in table["PartitionKeys"]]
    columns = {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}
    folder = table["StorageDescriptor"]["Location"].removeprefix("s3://Lake/")
    own = table["Parameters"].get(f"projection.{keys[0]}.values", "*").split(",")  # `features/` has several tables
    files = [str(file) for first in own for file in (lake / folder).glob(f"{keys[0]}={first}/**/part-*")]
    found = duckdb.sql(f"SELECT * FROM read_parquet({files}, hive_partitioning = true, hive_types_autocast = false)")
    assert found.columns[: len(columns)] == [*columns]
    assert sorted(found.columns[len(columns) :]) == sorted(keys)
    for name, kind in zip(found.columns, found.types, strict=True):
        hive = columns.get(name, "string")
        assert str(kind) in DUCKDB_TYPES.get(hive, {hive.upper()}), f"{table['Name']}.{name}"
    assert found.limit(1).fetchall()
