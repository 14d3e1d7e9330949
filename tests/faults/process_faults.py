"""Faults of the cluster's processes: killed, frozen, short of memory."""

from __future__ import annotations

import json
import os
import signal
import time
from types import MappingProxyType

from flink_app.local.flink_rest import ClusterError, root_cause
from flink_app.properties import write_properties
from tests.faults import processes
from tests.faults.scene import PATIENCE, Scene
from tests.faults.story import Fault


class _Restarting(Fault):
    """A fault that Flink answers with a restart of the job."""

    def is_over(self, scene: Scene) -> bool:
        try:
            return scene.restarts() > scene.act.restarts_before
        except ClusterError:
            return False

    def remember(self, scene: Scene) -> None:
        scene.act.told += f"; Flink: {root_cause(scene.cluster.exceptions(scene.job)[0])[:90]}"


class TaskManagerKilled(_Restarting):
    """SIGKILL of the TaskManager and its Python workers; gate and windows in separate workers."""

    name = "TaskManager killed"
    run = "processes"
    properties = MappingProxyType({"Runtime": {"separate.workers": "true"}})

    def inject(self, scene: Scene) -> None:
        scene.act.told = f"process group {processes.task_manager(scene.cluster)} killed"
        scene.cluster.kill_task_manager()
        scene.cluster.add_task_manager()


class WorkerKilled(_Restarting):
    """SIGKILL of a Python worker."""

    name = "Python worker killed"
    run = "processes"

    def inject(self, scene: Scene) -> None:
        (pid, *_) = processes.workers(scene.cluster)
        os.kill(pid, signal.SIGKILL)
        scene.act.told = f"worker {pid} killed"


class WorkersCrash(_Restarting):
    """SIGSEGV in every Python worker at once, as a bug in native code would do it."""

    name = "Python workers crash"
    run = "processes"

    def inject(self, scene: Scene) -> None:
        pids = processes.workers(scene.cluster)
        for pid in pids:
            os.kill(pid, signal.SIGSEGV)
        scene.act.told = f"workers {', '.join(map(str, pids))} got SIGSEGV"


class WorkerOutOfMemory(_Restarting):
    """No more address space for the Python workers: they hang without a word, until Flink's timeouts replace them.

    First a checkpoint times out (15 s here, Flink's default is ten minutes), then the cancellation of tasks that wait
    for the workers (15 s here, the default is three minutes), which ends the TaskManager; another one is started.
    """

    name = "Python worker out of memory"
    settings = MappingProxyType(
        {
            "execution.checkpointing.timeout": "15 s",
            "task.cancellation.timeout": "15 s",
            "task.cancellation.interval": "5 s",
        }
    )

    def inject(self, scene: Scene) -> None:
        pids = processes.workers(scene.cluster)
        limits = [processes.limit_memory(pid, 0) for pid in pids]
        scene.act.told = f"{len(pids)} workers limited to {max(limits) >> 20} MiB of address space"


class CheckpointTimesOut(_Restarting):
    """SIGSTOP of a Python worker for longer than the checkpoint timeout, then SIGCONT."""

    name = "checkpoint times out"
    run = "processes"
    settings = MappingProxyType({"execution.checkpointing.timeout": "20 s"})

    def inject(self, scene: Scene) -> None:
        pids = processes.workers(scene.cluster)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(30)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        scene.act.told = f"{len(pids)} workers stopped for 30 s"

    def is_over(self, scene: Scene) -> bool:
        return scene.failed_checkpoints() > scene.act.failed_before

    def remember(self, scene: Scene) -> None:
        expired = [
            entry["failure_message"]
            for entry in scene.cluster.checkpoints(scene.job)["history"]
            if entry["status"] == "FAILED" and "expired" in (entry.get("failure_message") or "")
        ]
        scene.act.told = f"{scene.act.told}; {len(expired)} × '{expired[0]}'" if expired else ""


class TaskManagerFrozen(_Restarting):
    """SIGSTOP of the TaskManager until Flink has given it up and restarted elsewhere, then SIGCONT: two that write."""

    name = "TaskManager frozen"

    def inject(self, scene: Scene) -> None:
        group = processes.task_manager(scene.cluster)
        frozen = scene.cluster._task_managers.pop(0)
        os.killpg(group, signal.SIGSTOP)
        try:
            scene.cluster.add_task_manager(wait=False)
            scene.cluster.wait("Flink to give it up", lambda: scene.cluster.exceptions(scene.job), PATIENCE)
            scene.cluster.wait_running(scene.job, PATIENCE)
            scene.wait_checkpoint(time.time() * 1000)
        finally:
            os.killpg(group, signal.SIGCONT)
        scene.act.told = f"process group {group} frozen, given up, woken beside its successor"
        time.sleep(5)
        os.killpg(group, signal.SIGKILL)
        frozen.wait()


class JobManagerKilled(Fault):
    """SIGKILL of the JobManager; a new one resumes from the newest checkpoint on disk, as nothing else is left."""

    name = "JobManager killed"
    run = "submitted again"
    settings = MappingProxyType({"execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION"})

    def inject(self, scene: Scene) -> None:
        config = scene.cluster.rest(f"/jobs/{scene.job}/checkpoints/config")
        assert config["externalization"] == {"enabled": True, "delete_on_cancellation": False}, config
        dead = processes.restart_job_manager(scene.cluster)
        checkpoint = processes.newest_checkpoint(scene.cluster, scene.job)
        scene.submit_again(str(checkpoint))
        restored = scene.cluster.checkpoints(scene.job)["latest"]["restored"]
        scene.act.told = f"process {dead} killed, resumed from {checkpoint.name}"
        assert restored["external_path"].endswith(checkpoint.name)


class OperatorRaises(Fault):
    """Restored with another number of buckets, the windows raise again and again; then restored with the right one."""

    name = "operator raises"
    run = "submitted again"

    def inject(self, scene: Scene) -> None:
        savepoint = scene.world.stop(scene.job, drain=False)
        right = scene.world.path.read_text()
        groups = {group["PropertyGroupId"]: group["PropertyMap"] for group in json.loads(right)}
        write_properties(scene.world.path, {**groups, "State": {**groups.get("State", {}), "buckets": "8"}})
        scene.submit(savepoint, may_fail=True)
        raised = scene.cluster.wait("the operator to raise", lambda: scene.cluster.exceptions(scene.job), PATIENCE)
        scene.cluster.cancel(scene.job, PATIENCE)
        scene.world.path.write_text(right)
        scene.submit_again(savepoint)
        told = f"Flink: {root_cause(raised[-1])[:90]}"
        scene.act.told = told if "State.buckets" in told else ""


PROCESS_FAULTS: list[Fault] = [
    TaskManagerKilled(),
    WorkerKilled(),
    WorkersCrash(),
    CheckpointTimesOut(),
    OperatorRaises(),
    JobManagerKilled(),
    TaskManagerFrozen(),
    WorkerOutOfMemory(),
]
