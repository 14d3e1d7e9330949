"""The doctor's figures out of Flink's REST interface: tasks, checkpoints, the consumer's and our own metrics."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from statistics import fmean
from typing import Any, Final

from flink_app.doctor import Part, Symptoms, Task
from flink_app.errors import FraudWindowsError
from flink_app.local.flink_rest import FlinkRest

LOOK_SECONDS: Final = 15.0  # Flink's own busy and backpressure times are averages over five
SAMPLES: Final = 4
LAST_CHECKPOINTS: Final = 5  # what failed before those is over

_BUSY, _HELD_UP = "busyTimeMsPerSecond", "backPressuredTimeMsPerSecond"
_BEHIND, _SIZE = "millisBehindLatest", "averageRecordSizeBytes"
_WANTED: Final = rf"^({_BUSY}|{_HELD_UP})$|shardId\..*\.({_BEHIND}|{_SIZE})$|\.freshness_ms$"
_READ: Final = r"^Source__.*\.numRecordsOut$"

Sample = dict[str, float]  # 'task: metric id' -> the largest value of all subtasks


def look_at(url: str, seconds: float) -> Symptoms:
    """`look` at the cluster of a URL. Raises FraudWindowsError: it is no URL, or as `look`."""
    if not url.startswith(("http://", "https://")):
        raise FraudWindowsError(f"--url: got '{url}' · wanted Flink's REST interface · e.g. http://127.0.0.1:8081")
    return look(FlinkRest(url.rstrip("/")), seconds)


def look(flink: FlinkRest, seconds: float = LOOK_SECONDS, wait: Callable[[float], None] = time.sleep) -> Symptoms:
    """Look at the cluster's running job for some seconds.

    Args:
        flink: the cluster.
        seconds: how long.
        wait: between two samples.

    Raises:
        FraudWindowsError: no job runs, or several; the cluster does not answer.
    """
    job = running_job(flink)
    began, read = time.monotonic(), flink.metric(job, _READ)
    samples = [_sample(flink, job)]
    for _ in range(SAMPLES - 1):
        wait(seconds / (SAMPLES - 1))
        samples.append(_sample(flink, job))
    per_second = (flink.metric(job, _READ) - read) / max(time.monotonic() - began, 1e-3)
    return symptoms(
        samples, max(per_second, 0.0), flink.rest(f"/jobs/{job}"), flink.checkpoints(job), _interval_ms(flink, job)
    )


def running_job(flink: FlinkRest) -> str:
    """The id of the one job that runs, or tries to."""
    over = {"FINISHED", "CANCELED", "FAILED"}
    jobs = [job["id"] for job in flink.rest("/jobs")["jobs"] if job["status"] not in over]
    if len(jobs) != 1:
        raise FraudWindowsError(f"{flink.url}: {len(jobs)} jobs run there · wanted one")
    return str(jobs[0])


def symptoms(samples: list[Sample], per_second: float, job: Any, checkpoints: Any, interval_ms: float) -> Symptoms:
    """The figures of a look.

    Args:
        samples: in the order of time.
        per_second: records read.
        job: Flink's answer to /jobs/:id.
        checkpoints: Flink's answer to /jobs/:id/checkpoints.
        interval_ms: between two checkpoints; 0: there are none.
    """
    last = samples[-1]
    shards = {key for key in last if key.endswith(_BEHIND)}
    size = _largest(last, _SIZE)
    shard_records = per_second / len(shards) if shards else None
    running_ms = job["timestamps"]["RUNNING"] if job["state"] == "RUNNING" else job["now"]
    return Symptoms(
        tasks=tuple(_tasks(samples)),
        settled_seconds=(job["now"] - running_ms) / 1000,
        behind_ms=_largest(last, _BEHIND),
        freshness_ms=_largest(last, "freshness_ms"),
        shard_records=shard_records,
        shard_bytes=None if size is None or shard_records is None else size * shard_records,
        **_checkpoint_figures(checkpoints, interval_ms),
    )


def part_of(name: str) -> Part:
    """Which part a task is; native windows count as windows."""
    if name.startswith("Source: "):
        return Part.SOURCE
    return Part.SINK if "Writer" in name and "feature windows" not in name else Part.WINDOWS


def short_name(name: str) -> str:
    """A task as a person knows it, from the chain that Flink calls it by."""
    if part_of(name) is Part.SOURCE:
        return "source and gate"
    if "feature windows" in name:
        return "feature windows"
    if found := re.search(r"(features)(?:\[(\d+)\])?: Writer", name):
        return f"DynamoDB writer {found[2] or ''}".rstrip()
    found = re.search(r"\[(\d+)\]", name)
    return f"{'S3 files' if part_of(name) is Part.SINK else 'native window'} {found[1] if found else ''}".rstrip()


def _sample(flink: FlinkRest, job: str) -> Sample:
    return {key: float(value) for key, value in flink.metrics(job, _WANTED, "max").items()}


def _tasks(samples: list[Sample]) -> list[Task]:
    names = sorted({key.rpartition(": ")[0] for key in samples[-1] if key.endswith(f": {_HELD_UP}")})
    tasks = []
    for name in names:
        busy, held_up = (_mean(samples, f"{name}: {metric}") for metric in (_BUSY, _HELD_UP))
        tasks.append(Task(short_name(name), part_of(name), busy, held_up or 0.0))
    return tasks


def _mean(samples: list[Sample], key: str) -> float | None:
    """Over the samples; a legacy source's busy time is NaN, as Flink documents it."""
    values = [sample[key] for sample in samples if not math.isnan(sample.get(key, math.nan))]
    return fmean(values) if values else None


def _largest(sample: Sample, ending: str) -> float | None:
    values = [value for key, value in sample.items() if key.endswith(ending) and not math.isnan(value)]
    return max(values, default=None)


def _interval_ms(flink: FlinkRest, job: str) -> float:
    """Flink's answer for a job without checkpoints is an error, or a number beyond all time."""
    interval = float(flink.rest(f"/jobs/{job}/checkpoints/config")["interval"])
    return interval if interval < 2**62 else 0.0


def _checkpoint_figures(checkpoints: Any, interval_ms: float) -> dict[str, float | None]:
    """Failures among the last ones, and how long the newest takes or took."""
    history = checkpoints["history"][:LAST_CHECKPOINTS]
    if not interval_ms or not history:
        return {}
    return {
        "checkpoints_failed": float(sum(entry["status"] == "FAILED" for entry in history)),
        "checkpoint_ms": float(history[0]["end_to_end_duration"]),
        "checkpoint_interval_ms": interval_ms,
    }
