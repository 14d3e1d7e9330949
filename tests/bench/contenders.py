"""Who runs: the job over the archive, Flink in three other ways, Spark, and two programs without a stream engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from flink_app.local.cluster import FlinkCluster
from flink_app.local.places import JAR, ROOT
from flink_app.properties import write_properties
from flink_app.run import submit
from tests.bench.payload import BENCH, Payload

PEERS: Final = Path(__file__).with_name("peers")
REQUIREMENTS: Final = Path(__file__).with_name("requirements-peers.txt")
NO_BACKEND: Final = "memory"

_FLINK: Final = ("heap", "rocksdb")


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to compute the rows.

    Attributes:
        name: as the table shows it.
        layouts: folder of its output -> key of agreement.LAYOUTS.
        backends: where it can keep its state; `NO_BACKEND` where that cannot be chosen.
        most: payments that it gets at the most, the first ones; None: all.
        scales: False if more parallelism is nothing to it.
        cores: that everything of a run may use, Flink's JobManager and client too; None: all.
    """

    name: str
    layouts: dict[str, str]
    backends: tuple[str, ...] = _FLINK
    most: int | None = None
    scales: bool = True
    cores: int | None = None


@dataclass(frozen=True, kw_only=True)
class FlinkContender(Contender):
    """A job on a Flink cluster.

    Attributes:
        slots: that it needs at parallelism 1.
        gives_work: part of the name of the job step whose first output ends the start-up.
        submit: (cluster, payload, folder for its output, parallelism) -> job id.
    """

    slots: int = 1
    gives_work: str = "Source"
    submit: Callable[[FlinkCluster, Payload, Path, int], str]


@dataclass(frozen=True, kw_only=True)
class ProcessContender(Contender):
    """A program that reads, writes and ends. Prints 'ready' when it is up, may print 'read N' while it works.

    Attributes:
        command: (payload, folder for its output, parallelism, backend) -> what to start.
    """

    command: Callable[[Payload, Path, int, str], list[str]]


def job_properties(payload: Payload, output: Path, *, separate_workers: bool, buckets: int, live: bool) -> Path:
    """Properties of the job over the archive, all output in local files, nothing in DynamoDB."""
    path = output / "application_properties.json"
    write_properties(
        path,
        {
            "Source": {"kind": "archive", "path": str(payload.raw)},
            "Features": {"enabled": "true", "table": "files"} if live else {"enabled": "false"},
            "State": {"buckets": str(buckets)},
            "History": {"path": f"file://{output}/features"},
            "Quarantine": {"path": f"file://{output}/quarantine"},
            "Account": {"path": f"file://{output}/account"},
            "Masking": {"key": "a local key, which is no secret"},
            "Runtime": {"separate.workers": str(separate_workers).lower()},
        },
    )
    return path


def the_job(*, separate_workers: bool) -> Contender:
    """The job itself, delivered windows and settings, final rows only."""

    def start(cluster: FlinkCluster, payload: Payload, output: Path, parallelism: int) -> str:
        buckets = 4 * parallelism  # as the README advises
        properties = job_properties(payload, output, separate_workers=separate_workers, buckets=buckets, live=False)
        return submit(cluster, properties, parallelism)

    return FlinkContender(
        name="job, two workers" if separate_workers else "job",
        layouts={"features": "final Parquet"},
        slots=2 if separate_workers else 1,
        gives_work="read and gate",
        submit=start,
    )


def the_job_with_live_rows() -> Contender:
    """The same with live rows: a copy of the application whose features table is a folder of files."""

    def start(cluster: FlinkCluster, payload: Payload, output: Path, parallelism: int) -> str:
        copy = application_copy()
        table = (PEERS / "live_features.sql").read_text().replace("@output@", f"file://{output}/live")
        (copy / "sql" / "sinks" / "features.sql").write_text(table)
        properties = job_properties(payload, output, separate_workers=False, buckets=4 * parallelism, live=True)
        return submit_copy(cluster, copy, properties, parallelism)

    layouts = {"features": "final Parquet", "live": "live Parquet"}
    return FlinkContender(name="job with live rows", layouts=layouts, gives_work="read and gate", submit=start)


def the_job_with_default_bundles() -> Contender:
    """The job as if PyFlink's bundle settings were not the program's to choose."""

    def start(cluster: FlinkCluster, payload: Payload, output: Path, parallelism: int) -> str:
        properties = job_properties(payload, output, separate_workers=False, buckets=4 * parallelism, live=False)
        return submit_copy(cluster, without_bundle_settings(application_copy()), properties, parallelism)

    return FlinkContender(
        name="job, default bundles",
        layouts={"features": "final Parquet"},
        gives_work="read and gate",
        submit=start,
    )


def without_bundle_settings(copy: Path) -> Path:
    """The copy, with PyFlink's defaults: bundles of 1,000 rows or a second, Arrow batches of 1,000 rows."""
    runtime = copy / "flink_app" / "runtime.py"
    text, changed = re.subn(r'(?m)^    "python\.fn-execution\.(bundle|arrow)\..*\n', "", runtime.read_text())
    assert changed == 4, f"{runtime}: {changed} settings of bundles found"
    runtime.write_text(text)
    return copy


def application_copy() -> Path:
    """A fresh copy of the application, whose SQL may be edited."""
    copy = BENCH / "application"
    shutil.rmtree(copy, ignore_errors=True)
    for package in ("flink_app", "operators", "sql"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def submit_copy(cluster: FlinkCluster, copy: Path, properties: Path, parallelism: int) -> str:
    """Start a copy's job and wait until it runs; returns its id."""
    job = cluster.submit(
        copy / "flink_app" / "main.py",
        jar=JAR,
        py_files=(copy / "flink_app", copy / "operators"),
        properties=properties,
        parallelism=parallelism,
    )
    cluster.wait_running(job, timeout=120)
    return job


def flink_peer(script: str, name: str, layout: str, *options: str, most: int | None = None) -> Contender:
    """A script of `peers/`; `options` are Flink settings KEY=VALUE on top."""

    def start(cluster: FlinkCluster, payload: Payload, output: Path, parallelism: int) -> str:
        arguments = [f"file://{payload.shards(parallelism)}", f"file://{output}/features", *options]
        job = cluster.submit(PEERS / script, jar=JAR, parallelism=parallelism, arguments=arguments)
        cluster.wait_running(job, timeout=120)
        return job

    return FlinkContender(name=name, layouts={"features": layout}, most=most, submit=start)


def spark() -> Contender:
    """Spark on as many local cores; heap is its default state store."""

    def command(payload: Payload, output: Path, parallelism: int, backend: str) -> list[str]:
        script = str(PEERS / "spark_streaming.py")
        folders = [str(payload.batches()), str(output / "features")]
        return [str(peers_python()), script, *folders, str(parallelism), backend]

    return ProcessContender(name="Spark Structured Streaming", layouts={"features": "final Parquet"}, command=command)


def program(script: str, name: str, *, scales: bool) -> Contender:
    """A script of `peers/` that runs in this project's own virtual environment."""

    def command(payload: Payload, output: Path, parallelism: int, _backend: str) -> list[str]:
        return [sys.executable, str(PEERS / script), str(payload.lines), str(output / "features"), str(parallelism)]

    layouts = {"features": "final Parquet"}
    return ProcessContender(name=name, layouts=layouts, backends=(NO_BACKEND,), scales=scales, command=command)


def peers_python() -> Path:
    """The virtual environment of what this project does not need itself; made on first use (a minute)."""
    folder = BENCH / "peers"
    stamp = folder / REQUIREMENTS.name
    if not stamp.exists() or stamp.read_text() != REQUIREMENTS.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        shutil.copy(REQUIREMENTS, stamp)
    return folder / "bin" / "python"


NATIVE: Final = "native Flink SQL"
ONE_CORE: Final = ", one core"

CONTENDERS: Final[dict[str, Contender]] = {
    "job": the_job(separate_workers=False),
    "job-one-core": replace(the_job(separate_workers=False), name=f"job{ONE_CORE}", scales=False, cores=1),
    "job-two-workers": the_job(separate_workers=True),
    "job-default-bundles": the_job_with_default_bundles(),
    "job-live": the_job_with_live_rows(),
    "native": flink_peer("flink_native.py", NATIVE, "final Parquet"),
    "fresh": flink_peer("flink_fresh.py", "Flink SQL, fresh and corrected", "changelog"),
    "datastream": flink_peer("flink_datastream.py", "PyFlink DataStream", "final JSON lines", most=1_000),
    "spark": spark(),
    "python": program("python_loop.py", "Python loop, no engine", scales=False),
    "duckdb": program("duckdb_batch.py", "DuckDB batch", scales=True),
}
