"""The stage of the end-to-end tests: one local AWS and one Flink cluster, and for each test a world of its own.

with open_stage(folder) as stage:
    world = stage.world("restore")        # a stream, a features table, folders in the bucket
    app = stage.application("restore")    # a copy of the application, as a deployed zip would be
    job = world.submit(app, parallelism=2)
    world.send(payments(…), start_ms)
    world.stop(job, drain=True)
    world.records(), world.final_rows(), world.items(), world.account()
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from flink_app.account import Account, AccountBook
from flink_app.delivery import Delivery, to_kinesis
from flink_app.features_table import final_rows, stored_items
from flink_app.generate import Chunk
from flink_app.lake import download
from flink_app.local.aws import BUCKET, SHARDS, LocalAws, create_features_table, embedded_aws, job_properties
from flink_app.local.cluster import FlinkCluster
from flink_app.local.cluster_config import ClusterSettings
from flink_app.local.places import JAR, ROOT
from flink_app.properties import Properties, read_properties, write_properties
from flink_app.run import records_read
from tests import oracle
from tests.faults.proxy import FaultProxy

MASKING_KEY = "the tests' masking key, nowhere to be seen"
SLOTS = 4
PROXIED_BUCKET = "behind-the-fault-proxy"  # Flink reaches it, and only it, through the fault proxy

Key = tuple[str, str]  # customer_id, feature_window
Row = dict[str, Any]


@dataclass(frozen=True)
class Raw:
    """One record of the raw archive or the quarantine; `arrival` in epoch milliseconds."""

    data: bytes
    arrival: int
    shard: str
    number: str


@dataclass(frozen=True)
class Application:
    """A copy of what is deployed; its SQL may be edited."""

    folder: Path

    @property
    def windows(self) -> Path:
        """The window files."""
        return self.folder / "sql" / "windows"


@dataclass(frozen=True)
class Stage:
    """What all tests share; `tests.faults.scene` makes worlds whose job goes through the proxy."""

    aws: LocalAws
    proxy: FaultProxy
    cluster: FlinkCluster
    folder: Path

    def application(self, name: str, windows: Mapping[str, str] | None = None) -> Application:
        """A copy of the application, with further window files: stem -> text."""
        folder = self.folder / f"application-{name}"
        for part in ("flink_app", "operators", "sql"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        application = Application(folder)
        for stem, text in (windows or {}).items():
            (application.windows / f"{stem}.sql").write_text(text)
        return application

    def world(self, name: str, **changes: Mapping[str, str]) -> World:
        """A stream, a table and folders of their own; `changes` are property groups, merged into the usual ones."""
        kinesis, dynamodb = self.aws.client("kinesis"), self.aws.client("dynamodb")
        kinesis.create_stream(StreamName=name, ShardCount=SHARDS)
        kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
        create_features_table(dynamodb, name)
        groups = job_properties(self.aws) | {"Masking": {"key": MASKING_KEY}}
        groups["Source"] = {**groups["Source"], "stream": name}
        groups["Features"] = {"table": name}
        del groups["State"]  # the service's defaults, not a laptop's
        for group in ("History", "Archive", "Quarantine", "Account"):
            groups[group] = {"path": f"s3://{BUCKET}/{name}/{group.lower()}"}
        for group, values in changes.items():
            groups[group] = values if "kind" in values else {**groups.get(group, {}), **values}
        path = self.folder / name / "application_properties.json"
        write_properties(path, groups)
        return World(self, name, path, read_properties(path))


@dataclass
class World:
    """One test's stream and sinks, and what is in them.

    Attributes:
        sent: every record that was sent, with its count.
    """

    stage: Stage
    name: str
    path: Path
    properties: Properties
    sent: Counter[bytes] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._book = AccountBook(self.properties)

    # ---- the job

    def submit(
        self,
        application: Application,
        *,
        parallelism: int = 1,
        savepoint: str | None = None,
        flink: Mapping[str, str] | None = None,
        may_fail: bool = False,
    ) -> str:
        """Start the job and wait until it runs.

        Args:
            application: what to submit.
            parallelism: of the job.
            savepoint: to restore from.
            flink: options of this job alone: of the client that submits it.
            may_fail: do not wait.
        """
        cluster = self.stage.cluster
        job = cluster.submit(
            application.folder / "flink_app" / "main.py",
            jar=JAR,
            properties=self.path,
            parallelism=parallelism,
            savepoint=savepoint,
            allow_non_restored=savepoint is not None,
            environment={"FLINK_CONF_DIR": str(self._client_configuration(flink or {}))},
        )
        if not may_fail:
            cluster.wait_running(job, timeout=120)
        return job

    def _client_configuration(self, options: Mapping[str, str]) -> Path:
        folder = self.path.parent / "conf"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.stage.cluster.directory / "conf", folder)
        config = folder / "config.yaml"
        kept = [line for line in config.read_text().splitlines() if line.partition(":")[0] not in options]
        added = [f"{key}: {json.dumps(value)}" for key, value in options.items()]
        config.write_text("\n".join([*kept, *added]) + "\n")
        return folder

    def send(self, chunks: Iterable[Chunk], start_ms: int) -> Delivery:
        """Send payments when their time has come; returns when the last is on the stream."""

        def remembered() -> Iterator[Chunk]:
            for chunk in chunks:
                self.sent.update(chunk.records)
                yield chunk

        return to_kinesis(remembered(), self.stage.aws.client("kinesis"), self.name, start_ms=start_ms)

    def resend(self, records: Sequence[bytes]) -> None:
        """Send records again, at once."""
        self.sent.update(records)
        entries = [{"Data": record, "PartitionKey": str(number)} for number, record in enumerate(records)]
        answer = self.stage.aws.client("kinesis").put_records(StreamName=self.name, Records=entries)
        assert not answer["FailedRecordCount"]

    def wait_read(self, job: str, records: int, timeout: float = 90) -> None:
        """Until the job has read so many records since it was started."""
        cluster = self.stage.cluster
        cluster.wait(f"{records} records read", lambda: records_read(cluster, job) >= records, timeout)

    def stop(self, job: str, *, drain: bool) -> str:
        """Stop with a savepoint; drained, every open window is final."""
        return self.stage.cluster.stop_with_savepoint(job, drain=drain)

    # ---- what is stored

    def account(self) -> Account:
        """Law 1, from the stored files."""
        return self._book.close()

    def records(self) -> list[Raw]:
        """The raw archive in the order of arrival."""
        return sorted(self._raw("archive"), key=lambda record: (record.arrival, record.number))

    def quarantine(self) -> list[tuple[Raw, str, str]]:
        """(record, reason, detail) of every rejected one."""
        found = []
        for file in self.files("quarantine"):
            reason = next(part[7:] for part in file.parts if part.startswith("reason="))
            details = pq.ParquetFile(file).read(["detail"]).column(0).to_pylist()
            found += [(record, reason, text) for record, text in zip(_records(file), details, strict=True)]
        return found

    def history(self) -> Path:
        """The final rows' files, downloaded."""
        return self._folder("history")

    def history_rows(self) -> Counter[tuple[str, str, int]]:
        """How often each (customer_id, feature_window, revision) is in the history."""
        rows: Counter[tuple[str, str, int]] = Counter()
        for file in self.files("history"):
            feature_set = next(part[12:] for part in file.parts if part.startswith("feature_set="))
            for row in pq.ParquetFile(file).read(["customer_id", "window_end", "revision"]).to_pylist():
                rows[row["customer_id"], f"{feature_set}#{moment(row['window_end'])}", row["revision"]] += 1
        return rows

    def final_rows(self) -> dict[Key, Row]:
        """The final rows by key; the last revision where there are several."""
        return final_rows(self.history())

    def items(self) -> dict[Key, Row]:
        """The features table."""
        return stored_items(self.stage.aws.client("dynamodb"), self.name)

    def files(self, group: str) -> list[Path]:
        """The files of a sink, downloaded."""
        return sorted(file for file in self._folder(group).rglob("*") if file.is_file())

    def _folder(self, group: str) -> Path:
        folder = self.path.parent / group
        shutil.rmtree(folder, ignore_errors=True)
        download(getattr(self.properties, group).path, folder, self.properties.aws)
        return folder

    def _raw(self, group: str) -> Iterator[Raw]:
        for file in self.files(group):
            yield from _records(file)


def _records(file: Path) -> list[Raw]:
    table = pq.ParquetFile(file).read(["data", "arrival_time", "shard_id", "sequence_number"])
    columns = [table.column(name).to_pylist() for name in table.column_names]
    return [
        Raw(data, round(arrival.replace(tzinfo=UTC).timestamp() * 1000), shard, number)
        for data, arrival, shard, number in zip(*columns, strict=True)
    ]


def expected(records: Iterable[Raw]) -> tuple[dict[Key, Row], Counter[str]]:
    """The oracle's rows of the delivered windows, as `World.final_rows` has them, and its account of the records."""
    events, exits = oracle.accepted_events([(record.data, record.arrival) for record in records])
    return keyed(oracle.final_rows(events)), exits


def keyed(rows: Mapping[tuple[str, str, int], Row]) -> dict[Key, Row]:
    """(feature set, customer, window end) -> row, as the features table has it: a NULL is absent."""
    return {
        (customer, f"{feature_set}#{moment(datetime.fromtimestamp(end / 1000, UTC))}"): {
            name: value for name, value in row.items() if value is not None
        }
        for (feature_set, customer, end), row in rows.items()
    }


def moment(time: datetime) -> str:
    """As it stands in a key: 2026-01-31T12:00:30Z, with milliseconds only where there are any (sessions)."""
    fraction = f".{time.microsecond // 1000:03}" if time.microsecond else ""
    return f"{time:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def wait_for(what: str, done: Callable[[], bool], timeout: float) -> float:
    """Until `done`, asked twice a second; returns the seconds it took."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < timeout, f"{what}: not within {timeout:g} s"
        time.sleep(0.5)
    return time.monotonic() - began


@contextlib.contextmanager
def open_stage(folder: Path, another: contextlib.AbstractContextManager[LocalAws] | None = None) -> Iterator[Stage]:
    """Start both, end both; `another` AWS instead of the embedded one."""
    assert JAR.exists(), f"{JAR} is missing; build it with: make jar"
    with another or embedded_aws(folder / "aws") as aws, FaultProxy(aws.endpoint) as proxy:
        aws.client("s3").create_bucket(Bucket=PROXIED_BUCKET)
        settings = ClusterSettings(
            slots=SLOTS,
            checkpoint_interval_ms=3_000,
            task_manager_memory="4500m",
            s3_endpoint=aws.endpoint,
            extra={
                "taskmanager.memory.jvm-metaspace.size": "1500m",  # each job leaves 65 MB of classes …
                "taskmanager.memory.task.off-heap.size": "500m",  # … and 16 MB of AWS client buffers: DECISIONS 20
                f"fs.s3a.bucket.{PROXIED_BUCKET}.endpoint": proxy.endpoint,
            },
        )
        with FlinkCluster(settings, directory=folder / "flink") as cluster:
            yield Stage(aws, proxy, cluster, folder)
