"""One run of one Flink contender on a cluster of its own, and what it took."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from flink_app.local.cluster import FlinkCluster
from flink_app.local.cluster_config import ClusterSettings
from flink_app.local.flink_rest import ENDED, ClusterError
from tests.bench.contenders import FlinkContender
from tests.bench.payload import BENCH
from tests.bench.processes import Usage
from tests.bench.result import FirstRow, Result, Setting, load

POLL_SECONDS: Final = 0.25
_CHECKPOINTS_MS: Final = 10_000
_IDLE_POLLS: Final = 4
_IDLE_CORES: Final = 0.15
_TELL_SECONDS: Final = 20
_MEMORY_GB: Final = 4  # of the TaskManager for each parallel subtask, a processing unit's; Python workers come on top
_CLUSTER: Final = {
    "heartbeat.timeout": "120 s",  # a busy machine is no failure
    "metrics.fetcher.update-interval": 250,
    "restart-strategy.type": "none",  # a run that fails is no run
    "state.backend.rocksdb.use-bloom-filter": "true",  # most keys of a de-duplication are not there
}

_MANAGED: Final = {  # state on the heap leaves managed memory unused, so the heap gets it
    "heap": {"taskmanager.memory.managed.fraction": 0.1},
    "rocksdb": {},
}


@dataclass(frozen=True)
class Run:
    """A job that has been started.

    Attributes:
        setting: who, how, on what.
        cluster, job: where.
        usage: of the TaskManager; holds what it used before the job until it is sampled.
        started: epoch seconds at which nothing ran yet.
    """

    setting: Setting
    cluster: FlinkCluster
    job: str
    usage: Usage
    started: float

    def polls(self) -> Iterator[Any]:
        """Flink's description of the job, four times a second until it has ended; usage is fresh each time.

        With its input worked off, a job waits for the next checkpoint before it finishes, up to 10 s: an idle one is
        given one at once.
        """
        recent: list[float] = []
        while (info := self.cluster.rest(f"/jobs/{self.job}"))["state"] not in ENDED:
            self.usage.sample()
            yield info
            recent = [*recent[-_IDLE_POLLS:], self.usage.seconds("jvm") + self.usage.seconds("python")]
            idle = recent[-1] - recent[0] < _IDLE_CORES * POLL_SECONDS * _IDLE_POLLS
            if idle and len(recent) > _IDLE_POLLS and self.records_past_reader(info):
                self._checkpoint()
            time.sleep(POLL_SECONDS)
        yield info

    def records_past_reader(self, info: Any) -> int:
        """Records (peers) or blobs (job) that have left the step that reads."""
        steps = [step for step in info["vertices"] if _flink(self.setting).gives_work in step["name"]]
        return sum(step["metrics"]["write-records"] for step in steps)

    def _checkpoint(self) -> None:
        try:
            if not self.cluster.checkpoints(self.job)["counts"]["in_progress"]:
                self.cluster.rest(f"/jobs/{self.job}/checkpoints", {"checkpointType": "CONFIGURED"})
        except ClusterError:  # it has just finished
            return


@contextmanager
def started(setting: Setting) -> Iterator[Run]:
    """A fresh cluster with the job running; both end with the block."""
    shutil.rmtree(setting.output, ignore_errors=True)
    setting.output.mkdir(parents=True)
    contender = _flink(setting)
    settings = ClusterSettings(
        slots=contender.slots * setting.parallelism,
        backend=setting.backend,
        checkpoint_interval_ms=_CHECKPOINTS_MS,
        task_manager_memory=f"{_MEMORY_GB * setting.parallelism}g",
        extra={**_CLUSTER, **_MANAGED[setting.backend]},
    )
    began = time.time()
    with on_cores(contender.cores), FlinkCluster(settings, directory=BENCH / "flink") as cluster:
        usage = Usage(frozenset(process.pid for process in cluster._task_managers))
        usage.sample()
        job = contender.submit(cluster, setting.payload, setting.output, setting.parallelism)
        yield Run(setting, cluster, job, usage, began)


@contextmanager
def on_cores(number: int | None) -> Iterator[None]:
    """What is started in the block has so many cores, and sees no others; None: all that there are."""
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(every)[:number])
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def race(setting: Setting, say: Callable[[str], None] = lambda _: None) -> Result:
    """Run to the end, or for `limit` seconds from RUNNING on. Rows are not counted yet.

    Raises:
        ClusterError: the job failed.
    """
    load_before = load()
    with started(setting) as run:
        usage = run.usage
        jvm_before = usage.seconds("jvm")
        first_row = FirstRow(setting, run.started)
        begun: tuple[float, float, float] | None = None
        told = 0.0
        for info in run.polls():
            seconds, passed = info["duration"] / 1000, run.records_past_reader(info)
            first_row.look()
            if begun is None and passed:
                begun = time.time(), usage.seconds("jvm"), usage.seconds("python")
            if seconds > setting.limit:
                break
            if seconds - told > _TELL_SECONDS:
                told = seconds
                say(f"  {setting.title}: {told:.0f} s, {passed:,} out of the reading step")
        run.cluster.raise_if_failed(run.job)
        finished = info["state"] == "FINISHED"
        ended = info["end-time"] / 1000 if finished else time.time()
        assert begun, "it ended before it began"
        checkpoints = run.cluster.checkpoints(run.job)
        return Result(
            title=setting.title,
            contender=setting.contender.name,
            backend=setting.backend,
            parallelism=setting.parallelism,
            payments=setting.payload.events,
            events=setting.payload.events if finished else passed,
            finished=finished,
            cold_seconds=ended - run.started,
            job_seconds=ended - info["timestamps"]["RUNNING"] / 1000,
            steady_seconds=ended - begun[0],
            first_row_seconds=first_row.seconds,
            jvm_cpu_seconds=usage.seconds("jvm") - jvm_before,
            python_cpu_seconds=usage.seconds("python"),
            steady_jvm_seconds=usage.seconds("jvm") - begun[1],
            steady_python_seconds=usage.seconds("python") - begun[2],
            jvm_peak_mb=usage.peak_mb["jvm"],
            python_peak_mb=usage.peak_mb["python"],
            rows_live=0,
            rows_final=0,
            checkpoints=checkpoints["counts"]["completed"],
            state_mb=checkpoints["summary"]["state_size"]["max"] / 2**20,
            load=load_before,
        )


def _flink(setting: Setting) -> FlinkContender:
    assert isinstance(setting.contender, FlinkContender), setting.contender
    return setting.contender
