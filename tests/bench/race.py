"""One run of one contender on a cluster of its own, and what it took."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flink_app.local.cluster import FlinkCluster
from flink_app.local.cluster_config import ClusterSettings
from flink_app.local.flink_rest import ENDED, ClusterError
from tests.bench.agreement import rows_out
from tests.bench.contenders import Contender
from tests.bench.payload import BENCH, Payload
from tests.bench.processes import Usage

POLL_SECONDS: Final = 0.25
_CHECKPOINTS_MS: Final = 10_000
_IDLE_POLLS: Final = 4
_IDLE_CORES: Final = 0.15
_TELL_SECONDS: Final = 20
_MEMORY: Final = "4g"  # of the TaskManager, a processing unit's; Python workers come on top
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
class Result:
    """What a run took. Seconds are wall clock; CPU is the TaskManager's and its workers', without the JobManager's.

    Attributes:
        contender, backend: who, on what.
        events: records read; fewer than there are if the time was over.
        finished: False if the time was over.
        job_seconds: RUNNING to FINISHED.
        steady_seconds: from the first records past the reader to FINISHED: without starting workers and compiling.
        jvm_cpu_seconds, python_cpu_seconds: from submission to the end, start-up of the job included.
        steady_jvm_seconds, steady_python_seconds: CPU within steady_seconds.
        jvm_peak_mb, python_peak_mb: resident memory, highest.
        rows_live, rows_final: rows out.
        checkpoints: completed.
        load: of the machine, one-minute average, when it began.
    """

    contender: str
    backend: str
    events: int
    finished: bool
    job_seconds: float
    steady_seconds: float
    jvm_cpu_seconds: float
    python_cpu_seconds: float
    steady_jvm_seconds: float
    steady_python_seconds: float
    jvm_peak_mb: float
    python_peak_mb: float
    rows_live: int
    rows_final: int
    checkpoints: int
    load: float

    @property
    def job_rate(self) -> float:
        """Events a second over the whole job."""
        return self.events / self.job_seconds

    @property
    def steady_rate(self) -> float:
        """Events a second without the start-up."""
        return self.events / self.steady_seconds


@dataclass(frozen=True)
class Run:
    """A job that has been started.

    Attributes:
        contender, backend, payload: who, on what, of what.
        cluster, job: where.
        usage: of the TaskManager; holds what it used before the job until it is sampled.
    """

    contender: Contender
    backend: str
    payload: Payload
    cluster: FlinkCluster
    job: str
    usage: Usage

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
        """Records (native) or blobs (job) that have left the step that reads."""
        steps = [step for step in info["vertices"] if self.contender.gives_work in step["name"]]
        return sum(step["metrics"]["write-records"] for step in steps)

    def _checkpoint(self) -> None:
        try:
            if not self.cluster.checkpoints(self.job)["counts"]["in_progress"]:
                self.cluster.rest(f"/jobs/{self.job}/checkpoints", {"checkpointType": "CONFIGURED"})
        except ClusterError:  # it has just finished
            return


def output_of(contender: Contender, backend: str, events: int) -> Path:
    """Where a contender's rows lie after a run."""
    return BENCH / "out" / f"{contender.name.replace(' ', '-').replace(',', '')}-{backend}-{events}"


@contextmanager
def started(contender: Contender, backend: str, payload: Payload) -> Iterator[Run]:
    """A fresh cluster with the job running; both end with the block."""
    output = output_of(contender, backend, payload.events)
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    settings = ClusterSettings(
        slots=contender.slots,
        backend=backend,
        checkpoint_interval_ms=_CHECKPOINTS_MS,
        task_manager_memory=_MEMORY,
        extra={**_CLUSTER, **_MANAGED[backend]},
    )
    with FlinkCluster(settings, directory=BENCH / "flink") as cluster:
        usage = Usage(frozenset(process.pid for process in cluster._task_managers))
        usage.sample()
        job = contender.submit(cluster, payload, output)
        yield Run(contender, backend, payload, cluster, job, usage)


def race(
    contender: Contender, backend: str, payload: Payload, limit: float, say: Callable[[str], None] = lambda _: None
) -> Result:
    """Run to the end, or for `limit` seconds.

    Raises:
        ClusterError: the job failed.
    """
    load = Path("/proc/loadavg").read_text().split()[0]
    with started(contender, backend, payload) as run:
        usage = run.usage
        jvm_before = usage.seconds("jvm")
        begun: tuple[float, float, float] | None = None
        told = 0.0
        for info in run.polls():
            seconds, passed = info["duration"] / 1000, run.records_past_reader(info)
            if begun is None and passed:
                begun = time.time(), usage.seconds("jvm"), usage.seconds("python")
            if seconds > limit:
                break
            if seconds - told > _TELL_SECONDS:
                told = seconds
                say(f"  {contender.name} on {backend}: {told:.0f} s, {passed:,} out of the reading step")
        run.cluster.raise_if_failed(run.job)
        finished = info["state"] == "FINISHED"
        ended = info["end-time"] / 1000 if finished else time.time()
        assert begun, "it ended before it began"
        output = output_of(contender, backend, payload.events)
        live, final = rows_out(output, payload.truth) if finished else (0, 0)
        return Result(
            contender=contender.name,
            backend=backend,
            events=payload.events if finished else passed,
            finished=finished,
            job_seconds=ended - info["timestamps"]["RUNNING"] / 1000,
            steady_seconds=ended - begun[0],
            jvm_cpu_seconds=usage.seconds("jvm") - jvm_before,
            python_cpu_seconds=usage.seconds("python"),
            steady_jvm_seconds=usage.seconds("jvm") - begun[1],
            steady_python_seconds=usage.seconds("python") - begun[2],
            jvm_peak_mb=usage.peak_mb["jvm"],
            python_peak_mb=usage.peak_mb["python"],
            rows_live=live,
            rows_final=final,
            checkpoints=run.cluster.checkpoints(run.job)["counts"]["completed"],
            load=float(load),
        )
