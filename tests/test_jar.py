"""The connector jar in a real Flink: ARROW_ROWS, Parquet as ZSTD, and DynamoDB items without the NULLs."""

import io
import math
import os
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from decimal import Decimal
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.flink

JAR = Path(__file__).resolve().parents[1] / "deploy" / "jar" / "target" / "fraud-windows-connectors.jar"
JAVA_11 = 55  # major version of its class files

COLUMNS = (
    "name STRING, counted BIGINT, small INT, amount_sum DECIMAL(38, 2), amount_max DECIMAL(12, 2), average DOUBLE, "
    "present BOOLEAN, payload BYTES, window_end TIMESTAMP(3), arrival TIMESTAMP_LTZ(3)"
)
SCHEMA = pa.schema(
    {
        "name": pa.string(),
        "counted": pa.int64(),
        "small": pa.int32(),
        "amount_sum": pa.decimal128(38, 2),
        "amount_max": pa.decimal128(12, 2),
        "average": pa.float64(),
        "present": pa.bool_(),
        "payload": pa.binary(),
        "window_end": pa.timestamp("ms"),
        "arrival": pa.timestamp("ms", "UTC"),
    }
)
LARGEST = Decimal("9" * 36 + ".99")
ROWS = [  # by column: NULL nowhere, everywhere but in the key, and the values at the edges
    ["añb", 5, -7, Decimal("12.50"), Decimal("-0.01"), 2.5, True, b"\x00\xff", 1_767_225_600_123, 1_767_225_600_000],
    ["empty", *[None] * 9],
    ["", 2**63 - 1, -(2**31), LARGEST, Decimal("9999999999.99"), 1e-12, False, b"", -1, 0],
    ["negative", -(2**63), 2**31 - 1, LARGEST.copy_negate(), Decimal("0.00"), -0.0, None, b"x" * 300, 0, 1],
]


def stream(*batches: pa.RecordBatch) -> bytes:
    """Arrow IPC stream, as the job's Python side sends it."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def record_batch(rows, schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else [[] for _ in schema]
    return pa.record_batch(
        [pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


@pytest.fixture(scope="module")
def tables():
    """A streaming table environment with the jar, ARROW_ROWS registered."""
    assert JAR.exists(), f"{JAR} is missing; build it with: make jar"
    from pyflink.table import EnvironmentSettings, TableEnvironment

    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    environment.get_config().set("pipeline.jars", JAR.as_uri())
    environment.get_config().set("parallelism.default", "1")
    environment.execute_sql("CREATE TEMPORARY FUNCTION ARROW_ROWS AS 'fraudwindows.ArrowRows' LANGUAGE JAVA")
    return environment


@pytest.fixture
def function(tables):
    """The table function itself, outside of any job: good for what it refuses, not for rows."""
    from pyflink.java_gateway import get_gateway
    from pyflink.util.java_utils import add_jars_to_context_class_loader

    add_jars_to_context_class_loader([JAR.as_uri()])
    loader = get_gateway().jvm.Thread.currentThread().getContextClassLoader()
    return loader.loadClass("fraudwindows.ArrowRows").newInstance()


def explode(tables, sink_ddl: str, blobs, *, columns: str = COLUMNS, select: str = "r.*") -> None:
    """Runs `INSERT INTO sink SELECT … ARROW_ROWS` over the blobs to its end."""
    from pyflink.table import DataTypes

    row_type = DataTypes.ROW([DataTypes.FIELD("batch", DataTypes.BYTES())])
    for name in ("exits", "sink"):
        tables.execute_sql(f"DROP TEMPORARY {'VIEW' if name == 'exits' else 'TABLE'} IF EXISTS {name}")
    tables.create_temporary_view("exits", tables.from_elements([(bytearray(blob),) for blob in blobs], row_type))
    tables.execute_sql(f"CREATE TEMPORARY TABLE sink {sink_ddl}")
    tables.execute_sql(
        f"INSERT INTO sink SELECT {select} FROM exits CROSS JOIN LATERAL TABLE(ARROW_ROWS(batch, '{columns}')) AS r"
    ).wait()


def parquet_sink(folder: Path) -> str:
    return (
        f"({COLUMNS}) WITH ('connector'='filesystem', 'path'='{folder.as_uri()}', 'format'='parquet', "
        "'parquet.compression'='ZSTD', 'parquet.write.int64.timestamp'='true', 'parquet.utc-timezone'='true')"
    )


def parquet(folder: Path) -> pa.Table:
    """The rows of the only file that a sink left."""
    [file] = [path for path in folder.iterdir() if path.name.startswith("part-")]
    return pq.ParquetFile(file).read()


def milliseconds(table: pa.Table, name: str) -> list[int]:
    return table[name].cast(pa.timestamp("ms")).cast(pa.int64()).to_pylist()


def test_every_type_and_its_nulls_reach_parquet_as_they_left_python(tables, tmp_path):
    blobs = [stream(record_batch(ROWS[:2]), record_batch([]), record_batch(ROWS[2:])), stream(record_batch(ROWS))]
    explode(tables, parquet_sink(tmp_path), blobs)
    written, sent = parquet(tmp_path), ROWS + ROWS
    [file] = tmp_path.glob("part-*")
    assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"
    for position, name in enumerate(SCHEMA.names):
        got = (
            milliseconds(written, name) if pa.types.is_timestamp(SCHEMA.types[position]) else written[name].to_pylist()
        )
        assert got == [row[position] for row in sent], name


def test_a_timestamp_means_utc_with_and_without_its_zone(tables, tmp_path):
    swapped = SCHEMA.set(8, pa.field("window_end", pa.timestamp("ms", "UTC")))
    swapped = swapped.set(9, pa.field("arrival", pa.timestamp("ms")))
    explode(tables, parquet_sink(tmp_path), [stream(record_batch(ROWS, swapped))])
    written = parquet(tmp_path)
    assert milliseconds(written, "window_end") == [row[8] for row in ROWS]
    assert milliseconds(written, "arrival") == [row[9] for row in ROWS]


def test_thousands_of_batches_lose_no_row(tables, tmp_path):
    schema = pa.schema({"counted": pa.int64()})
    blobs = [stream(record_batch([[i * 100 + j] for j in range(100)], schema)) for i in range(3000)]
    ddl = f"(counted BIGINT) WITH ('connector'='filesystem', 'path'='{tmp_path.as_uri()}', 'format'='parquet')"
    explode(tables, ddl, blobs, columns="counted BIGINT")
    assert parquet(tmp_path)["counted"].to_pylist() == list(range(300_000))


@pytest.mark.parametrize(
    ("columns", "batch", "message"),
    [
        ("a STRING, b INT", {"a": pa.string()}, "got a batch of 1 columns (a), wanted 2 (a, b)"),
        (
            "a STRING, b INT",
            {"a": pa.string(), "c": pa.int32()},
            "column 2 of the batch: got c Int(32, true), wanted b INT",
        ),
        (
            "a STRING, b INT",
            {"a": pa.string(), "b": pa.int64()},
            "column 2 of the batch: got b Int(64, true), wanted b INT",
        ),
        ("a DECIMAL(38, 2)", {"a": pa.decimal128(12, 2)}, "got a Decimal(12, 2, 128), wanted a DECIMAL(38, 2)"),
        ("a TIMESTAMP(3)", {"a": pa.timestamp("us")}, "got a Timestamp(MICROSECOND, null), wanted a TIMESTAMP(3)"),
        ("a TIMESTAMP(3)", {"a": pa.timestamp("ms", "Europe/Paris")}, "got a Timestamp(MILLISECOND, Europe/Paris)"),
        ("a INT NOT NULL", {"a": pa.int32()}, "column 'a': got 1 nulls, wanted none (INT NOT NULL)"),
    ],
)
def test_another_schema_than_declared_is_an_error_that_says_what_came(function, columns, batch, message):
    blob = stream(record_batch([[None] * len(batch)], pa.schema(batch)))
    with pytest.raises(Exception, match="ARROW_ROWS") as error:
        function.eval(blob, columns)
    assert message in str(error.value)


@pytest.mark.parametrize("damage", [lambda blob: blob[:-40], lambda blob: b"PAR1" + blob, lambda blob: b""])
def test_a_damaged_stream_is_an_error(function, damage):
    with pytest.raises(Exception, match=r"ARROW_ROWS: byte \d+ of the batch: got"):
        function.eval(damage(stream(record_batch(ROWS))), COLUMNS)


def test_a_wrong_batch_fails_the_job_with_that_message(tables):
    blob = stream(record_batch([[1]], pa.schema({"b": pa.int32()})))
    with pytest.raises(Exception, match="column 1 of the batch: got b Int\\(32, true\\), wanted a INT"):
        explode(tables, "(a INT) WITH ('connector'='blackhole')", [blob], columns="a INT")


def test_a_type_that_cannot_be_read_is_an_error_of_the_statement(tables):
    with pytest.raises(Exception, match="column 'a': got type TIMESTAMP\\(6\\), wanted one of STRING"):
        explode(tables, "(a TIMESTAMP(6)) WITH ('connector'='blackhole')", [], columns="a TIMESTAMP(6)")


@pytest.fixture(scope="module")
def aws():
    """Endpoint of an own MiniStack on a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "ERROR",
    }
    command = str(Path(sys.executable).parent / "ministack")
    server = subprocess.Popen([command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield endpoint
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def features(aws):
    """A DynamoDB table with the key (name)."""
    dynamodb = boto3.resource(
        "dynamodb",
        endpoint_url=aws,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    table = dynamodb.create_table(
        TableName="features",
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield table
    table.delete()
    dynamodb.meta.client.close()


def dynamodb_sink(endpoint: str, columns: str = COLUMNS) -> str:
    return (
        f"({columns}) PARTITIONED BY (name) WITH ('connector'='dynamodb', 'table-name'='features', "
        f"'aws.region'='us-east-1', 'aws.endpoint'='{endpoint}', 'aws.credentials.provider'='BASIC', "
        "'aws.credentials.basic.accesskeyid'='test', 'aws.credentials.basic.secretkey'='test')"
    )


def test_a_null_feature_is_an_absent_attribute(tables, aws, features):
    rows = [["zero", *row[1:]] if row[0] == "" else row for row in ROWS]  # a key must not be empty
    explode(tables, dynamodb_sink(aws), [stream(record_batch(rows))])
    items = {item["name"]: item for item in features.scan()["Items"]}
    assert items["empty"] == {"name": "empty"}
    assert items["añb"] == {
        "name": "añb",
        "counted": 5,
        "small": -7,
        "amount_sum": Decimal("12.50"),
        "amount_max": Decimal("-0.01"),
        "average": Decimal("2.5"),
        "present": True,
        "payload": b"\x00\xff",
        "window_end": "2026-01-01T00:00:00.123",
        "arrival": "2026-01-01T00:00:00Z",
    }
    assert items["zero"]["amount_sum"] == LARGEST
    assert items["zero"]["counted"] == 2**63 - 1
    assert "present" not in items["negative"]


def test_a_number_that_dynamodb_cannot_hold_is_left_out_and_the_job_goes_on(tables, aws, features):
    unfit = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "huge": 1e126, "tiny": 1e-131}
    numbers = {**unfit, "zero": 0.0, "fit": 1e30}
    schema = pa.schema({"name": pa.string(), "average": pa.float64()})
    columns = "name STRING, average DOUBLE"
    blob = stream(record_batch(list(numbers.items()), schema))
    explode(tables, dynamodb_sink(aws, columns), [blob], columns=columns)
    kept = {item["name"]: item.get("average") for item in features.scan()["Items"]}
    assert kept == {**dict.fromkeys(unfit), "zero": 0, "fit": Decimal("1E+30")}


def test_arrays_and_maps_keep_their_places(tables, aws, features):
    columns = "name STRING, merchants ARRAY<STRING>, totals MAP<STRING, DECIMAL(12, 2)>"
    tables.execute_sql("DROP TEMPORARY TABLE IF EXISTS sink")
    tables.execute_sql(f"CREATE TEMPORARY TABLE sink {dynamodb_sink(aws, columns)}")
    tables.execute_sql(
        "INSERT INTO sink SELECT 'a', ARRAY['x', CAST(NULL AS STRING)], MAP['card', CAST(1.5 AS DECIMAL(12, 2))]"
    ).wait()
    assert features.scan()["Items"] == [{"name": "a", "merchants": ["x", None], "totals": {"card": Decimal("1.5")}}]


def test_the_jar_replaces_the_converter_and_runs_on_java_11():
    with zipfile.ZipFile(JAR) as jar:
        names = jar.namelist()
        own = [name for name in names if name.startswith("fraudwindows/") and name.endswith(".class")]
        versions = {int.from_bytes(jar.read(name)[6:8], "big") for name in own}
    assert len(names) == len(set(names))
    assert versions == {JAVA_11}
    assert not [name for name in names if "RowDataToAttributeValueConverter" in name or "org/slf4j/Logger" in name]
