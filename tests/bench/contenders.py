"""Who runs: the job over the archive, and Flink SQL alone over the same payments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flink_app.local.cluster import FlinkCluster
from flink_app.local.places import JAR
from flink_app.properties import write_properties
from flink_app.run import submit
from tests.bench.payload import Payload

NATIVE_JOB = Path(__file__).with_name("native_job.py")


@dataclass(frozen=True)
class Contender:
    """One way to compute the rows.

    Attributes:
        name: as the table shows it.
        slots: that it needs at parallelism 1.
        gives_work: part of the name of the job step whose first output ends the start-up.
        submit: (cluster, payload, folder for its output) -> job id.
    """

    name: str
    slots: int
    gives_work: str
    submit: Callable[[FlinkCluster, Payload, Path], str]


def job_properties(payload: Payload, output: Path, *, separate_workers: bool) -> Path:
    """Properties of the job over the archive, all output in local files, nothing in DynamoDB."""
    path = output / "application_properties.json"
    write_properties(
        path,
        {
            "Source": {"kind": "archive", "path": str(payload.raw)},
            "Features": {"enabled": "false"},
            "State": {"buckets": "4"},  # for parallelism 1, as the README advises
            "History": {"path": f"file://{output}/features"},
            "Quarantine": {"path": f"file://{output}/quarantine"},
            "Account": {"path": f"file://{output}/account"},
            "Masking": {"key": "a local key, which is no secret"},
            "Runtime": {"separate.workers": str(separate_workers).lower()},
        },
    )
    return path


def the_job(*, separate_workers: bool) -> Contender:
    """The job itself, delivered windows and settings."""

    def start(cluster: FlinkCluster, payload: Payload, output: Path) -> str:
        return submit(cluster, job_properties(payload, output, separate_workers=separate_workers), 1)

    name = "job, two workers" if separate_workers else "job"
    return Contender(name, 2 if separate_workers else 1, "read and gate", start)


def native(*options: str) -> Contender:
    """native.sql; `options` are Flink settings KEY=VALUE on top."""

    def start(cluster: FlinkCluster, payload: Payload, output: Path) -> str:
        arguments = [f"file://{payload.lines}", f"file://{output}/features", *options]
        job = cluster.submit(NATIVE_JOB, jar=JAR, parallelism=1, arguments=arguments)
        cluster.wait_running(job, timeout=120)
        return job

    return Contender("native Flink SQL", 1, "Source", start)


CONTENDERS: dict[str, Contender] = {
    "job": the_job(separate_workers=False),
    "job-two-workers": the_job(separate_workers=True),
    "native": native(),
}
