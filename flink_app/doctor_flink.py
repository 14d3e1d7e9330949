"""The doctor's figures out of Flink's REST interface: tasks, checkpoints, the consumer's and our own metrics."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flink_app.doctor import Part, Symptoms, Task
from flink_app.errors import FraudWindowsError
from flink_app.local.flink_rest import FlinkRest

_COLLECTED_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 15.0  # Flink brings the metrics of its tasks together every ten, unless it is told otherwise
LAST_CHECKPOINTS: Final = 5  # what failed before those is over

_BUSY, _IDLE, _HELD_UP = "accumulateBusyTimeMs", "accumulateIdleTimeMs", "accumulateBackPressuredTimeMs"
_TIMES: Final = rf"^\d+\.({_BUSY}|{_IDLE}|{_HELD_UP})$"
_BEHIND, _SIZE = "millisBehindLatest", "averageRecordSizeBytes"
_WANTED: Final = rf"shardId\..*\.({_BEHIND}|{_SIZE})$|\.freshness_ms$"
_READ: Final = r"^Source__.*\.numRecordsOut$"
_LATE: Final = rf"shardId\..*\.{_BEHIND}$"

Figures = dict[str, float]  # 'task: metric id' -> the largest value of all subtasks
Times = dict[str, float]  # 'task: subtask.metric id' -> milliseconds since the subtask began


@dataclass(frozen=True)
class Reading:
    """What stands at one moment of a look.

    Attributes:
        at: seconds of a clock.
        read: records so far, of all shards.
        behind_ms: how long the oldest unread record has waited; 0 too where nobody knows.
        times: what the subtasks have done since they began. Flink's own figures a second are averages over the last
            minute: too slow for a job that was healthy half a minute ago.
    """

    at: float
    read: float
    behind_ms: float
    times: Times


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
        wait: how to wait.

    Raises:
        FraudWindowsError: no job runs, or several; the cluster does not answer.
    """
    job = running_job(flink)
    began = _reading(flink, job, wait)
    wait(seconds)
    ended = _reading(flink, job, wait)
    figures, checkpoints = flink.metrics(job, _WANTED, "max"), flink.checkpoints(job)
    return symptoms(figures, (began, ended), flink.rest(f"/jobs/{job}"), checkpoints, _interval_ms(flink, job))


def _reading(flink: FlinkRest, job: str, wait: Callable[[float], None]) -> Reading:
    """All of now: Flink collects metrics when somebody asks, and answers with those of the time before."""
    flink.metric(job, _READ)
    wait(_COLLECTED_SECONDS)
    behind_ms = _largest(flink.metrics(job, _LATE, "max"), _BEHIND) or 0.0
    return Reading(time.monotonic(), flink.metric(job, _READ), behind_ms, flink.subtask_metrics(job, _TIMES))


def running_job(flink: FlinkRest) -> str:
    """The id of the one job that runs, or tries to."""
    over = {"FINISHED", "CANCELED", "FAILED"}
    jobs = [job["id"] for job in flink.rest("/jobs")["jobs"] if job["status"] not in over]
    if len(jobs) != 1:
        raise FraudWindowsError(f"{flink.url}: {len(jobs)} jobs run there · wanted one")
    return str(jobs[0])


def symptoms(
    figures: Figures, look: tuple[Reading, Reading], job: Any, checkpoints: Any, interval_ms: float
) -> Symptoms:
    """The figures of a look.

    Args:
        figures: at its end.
        look: when it began and when it ended.
        job: Flink's answer to /jobs/:id.
        checkpoints: Flink's answer to /jobs/:id/checkpoints.
        interval_ms: between two checkpoints; 0: there are none.
    """
    shards = {key for key in figures if key.endswith(_BEHIND)}
    size = _largest(figures, _SIZE)
    shard_records = written_per_second(*look) / len(shards) if shards else None
    running_ms = job["timestamps"]["RUNNING"] if job["state"] == "RUNNING" else job["now"]
    return Symptoms(
        tasks=tuple(_tasks(*(reading.times for reading in look))),
        settled_seconds=(job["now"] - running_ms) / 1000,
        behind_ms=_largest(figures, _BEHIND),
        freshness_ms=_largest(figures, "freshness_ms"),
        shard_records=shard_records,
        shard_bytes=None if size is None or shard_records is None else size * shard_records,
        **_checkpoint_figures(checkpoints, interval_ms),
    )


def written_per_second(began: Reading, ended: Reading) -> float:
    """Records that producers write in a second, by what was read: a reader that catches up reads more than that.

    It has gone through as much of the stream's time as passed on the clock, and through what it is less behind.
    """
    passed = ended.at - began.at + max(began.behind_ms - ended.behind_ms, 0.0) / 1000
    return max(ended.read - began.read, 0.0) / passed


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


def _tasks(before: Times, after: Times) -> list[Task]:
    """Every task's slowest subtask; what its time went into is measured by the same clock, Flink's."""
    spent = {key: value - before.get(key, 0.0) for key, value in after.items()}
    subtasks = sorted({key.rpartition(".")[0] for key in spent})
    rows = {each: [spent.get(f"{each}.{kind}", math.nan) for kind in (_BUSY, _IDLE, _HELD_UP)] for each in subtasks}
    longest = max((sum(row) for row in rows.values() if not math.isnan(sum(row))), default=0.0)
    tasks: dict[str, Task] = {}
    for subtask, (busy, idle, held_up) in rows.items():
        name = subtask.rpartition(": ")[0]
        is_source = math.isnan(busy)  # of a source Flink knows only how long it was held up
        whole = longest if is_source else busy + idle + held_up
        if whole > 0:  # else nothing new has been told since the look began
            busy_ms, held_up_ms = (1_000 * min(max(part / whole, 0.0), 1.0) for part in (busy, held_up))
            found = Task(short_name(name), part_of(name), None if is_source else busy_ms, held_up_ms)
            tasks[name] = max(tasks.get(name, found), found, key=lambda task: (task.busy_ms or 0.0, task.held_up_ms))
    return list(tasks.values())


def _largest(figures: Figures, ending: str) -> float | None:
    values = [value for key, value in figures.items() if key.endswith(ending) and not math.isnan(value)]
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
