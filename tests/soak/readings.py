"""One look at everything that could grow: processes, state, files."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flink_app.run import records_read
from tests.e2e_stage import PROXIED_BUCKET
from tests.faults import processes
from tests.faults.scene import Scene

_MB = 2**20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_METRICS = {
    "metaspace_mb": "Status.JVM.Memory.Metaspace.Used",
    "direct_mb": "Status.JVM.Memory.Direct.MemoryUsed",
}


@dataclass(frozen=True)
class Reading:
    """How much there is at an hour of the stream.

    Attributes:
        hour: of the stream, since it began.
        state_mb: of the last checkpoint, all subtasks.
        heap_mb: of the TaskManager's JVM, what a full collection left in the last full hour of the stream: garbage
            that nothing has collected yet is no growth.
        metaspace_mb, direct_mb: of the same JVM.
        jvm_mb, python_mb: resident memory of the TaskManager and of its Python workers.
        threads, open_files: of all of these.
        local_files: in the cluster's temporary and checkpoint folders.
        s3_objects: in the bucket.
        s3_uploads: multipart uploads that are not complete.
        backlog: records sent and not yet read.
    """

    hour: float
    state_mb: float
    heap_mb: float
    metaspace_mb: float
    direct_mb: float
    jvm_mb: float
    python_mb: float
    threads: int
    open_files: int
    local_files: int
    s3_objects: int
    s3_uploads: int
    backlog: int


def read(scene: Scene, hour: float, before: Reading | None) -> Reading:
    """Look now; with the first reading of an hour of the stream, collect garbage."""
    cluster, s3 = scene.cluster, scene.stage.aws.client("s3")
    jvm, workers = processes.task_manager(cluster), processes.workers(cluster)
    (manager,) = cluster.rest("/taskmanagers")["taskmanagers"]
    asked = cluster.rest(f"/taskmanagers/{manager['id']}/metrics?get={','.join(_METRICS.values())}")
    told = {metric["id"]: float(metric["value"]) / _MB for metric in asked}
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=PROXIED_BUCKET)
    return Reading(
        hour=hour,
        state_mb=cluster.checkpoints(scene.job)["latest"]["completed"]["state_size"] / _MB,
        heap_mb=before.heap_mb if before and int(before.hour) == int(hour) else _live_heap_mb(jvm),
        **{name: told[metric] for name, metric in _METRICS.items()},
        jvm_mb=_resident_mb([jvm]),
        python_mb=_resident_mb(workers),
        threads=_entries([jvm, *workers], "task"),
        open_files=_entries([jvm, *workers], "fd"),
        local_files=sum(_files(cluster.directory / name) for name in ("tmp", "checkpoints")),
        s3_objects=sum(page["KeyCount"] for page in pages),
        s3_uploads=len(s3.list_multipart_uploads(Bucket=PROXIED_BUCKET).get("Uploads", [])),
        backlog=scene.world.sent.total() - records_read(cluster, scene.job),
    )


def _live_heap_mb(jvm: int) -> float:
    subprocess.run(["jcmd", str(jvm), "GC.run"], check=True, capture_output=True)
    told = subprocess.run(["jcmd", str(jvm), "GC.heap_info"], check=True, capture_output=True, text=True).stdout
    used = re.search(r"heap +total \d+K, used (\d+)K", told)
    assert used, told
    return int(used[1]) / 1024


def _resident_mb(pids: Iterable[int]) -> float:
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * _PAGE / _MB


def _entries(pids: Iterable[int], what: str) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/{what}")) for pid in pids)  # noqa: PTH208 - names are all that is wanted


def _files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))
