"""Faults of the cluster's processes: killed, frozen, short of memory."""

from __future__ import annotations

import os
import signal
import time
from types import MappingProxyType

from flink_app.local.flink_rest import ClusterError, root_cause
from tests.faults import processes
from tests.faults.scene import Scene
from tests.faults.story import Fault


class _Restarting(Fault):
    """A fault that Flink answers with a restart of the job."""

    def is_over(self, scene: Scene) -> bool:
        try:
            return scene.restarts() > scene.restarts_before
        except ClusterError:
            return False

    def proof(self, scene: Scene) -> str:
        if not (failures := scene.cluster.exceptions(scene.job)):
            return ""
        return f"{scene.told}; Flink: {root_cause(failures[-1])[:90]}"


class TaskManagerKilled(_Restarting):
    """SIGKILL of the TaskManager and its Python workers; gate and windows in separate workers."""

    name = "TaskManager killed"
    properties = MappingProxyType({"Runtime": {"separate.workers": "true"}})

    def inject(self, scene: Scene) -> None:
        scene.told = f"process group {processes.task_manager(scene.cluster)} killed"
        scene.cluster.kill_task_manager()
        scene.cluster.add_task_manager()


class WorkerKilled(_Restarting):
    """SIGKILL of a Python worker."""

    name = "Python worker killed"

    def inject(self, scene: Scene) -> None:
        (pid, *_) = processes.workers(scene.cluster)
        os.kill(pid, signal.SIGKILL)
        scene.told = f"worker {pid} killed"


class WorkerAborts(_Restarting):
    """SIGSEGV in every Python worker at once, as a bug in native code would do it."""

    name = "Python workers crash"

    def inject(self, scene: Scene) -> None:
        pids = processes.workers(scene.cluster)
        for pid in pids:
            os.kill(pid, signal.SIGSEGV)
        scene.told = f"workers {', '.join(map(str, pids))} got SIGSEGV"


class WorkerOutOfMemory(_Restarting):
    """A limit on the address space of a Python worker: allocations fail, the operator raises."""

    name = "Python worker out of memory"

    def inject(self, scene: Scene) -> None:
        pids = processes.workers(scene.cluster)
        limits = [processes.limit_memory(pid, 0) for pid in pids]
        scene.told = f"{len(pids)} workers limited to {max(limits) >> 20} MiB of address space"


class CheckpointTimesOut(_Restarting):
    """SIGSTOP of a Python worker for longer than the checkpoint timeout, then SIGCONT."""

    name = "checkpoint times out"
    settings = MappingProxyType({"execution.checkpointing.timeout": "8 s"})

    def inject(self, scene: Scene) -> None:
        pids = processes.workers(scene.cluster)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(14)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        scene.told = f"{len(pids)} workers stopped for 14 s"

    def is_over(self, scene: Scene) -> bool:
        return scene.failed_checkpoints() > scene.failed_before

    def proof(self, scene: Scene) -> str:
        expired = [
            entry["failure_message"]
            for entry in scene.cluster.checkpoints(scene.job)["history"]
            if entry["status"] == "FAILED" and "expired" in (entry.get("failure_message") or "")
        ]
        return f"{scene.told}; {len(expired)} × '{expired[0]}'" if expired else ""


class TaskManagerFrozen(_Restarting):
    """SIGSTOP of the TaskManager until Flink has given it up and restarted elsewhere, then SIGCONT: two that write."""

    name = "TaskManager frozen"

    def inject(self, scene: Scene) -> None:
        group = processes.task_manager(scene.cluster)
        frozen = scene.cluster._task_managers.pop(0)
        os.killpg(group, signal.SIGSTOP)
        try:
            scene.cluster.add_task_manager(wait=False)
            scene.cluster.wait("Flink to give it up", lambda: scene.cluster.exceptions(scene.job), 90)
            scene.cluster.wait_running(scene.job, 90)
            scene.wait_checkpoint(time.time() * 1000)
        finally:
            os.killpg(group, signal.SIGCONT)
        scene.told = f"process group {group} frozen, given up, woken beside its successor"
        time.sleep(5)
        os.killpg(group, signal.SIGKILL)
        frozen.wait()


class JobManagerKilled(Fault):
    """SIGKILL of the JobManager; a new one resumes from the newest checkpoint on disk, as nothing else is left."""

    name = "JobManager killed"
    settings = MappingProxyType({"execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION"})

    def inject(self, scene: Scene) -> None:
        config = scene.cluster.rest(f"/jobs/{scene.job}/checkpoints/config")
        assert config["externalization"] == {"enabled": True, "delete_on_cancellation": False}, config
        dead = processes.restart_job_manager(scene.cluster)
        checkpoint = processes.newest_checkpoint(scene.cluster, scene.job)
        scene.submit(str(checkpoint))
        restored = scene.cluster.checkpoints(scene.job)["latest"]["restored"]
        scene.told = f"process {dead} killed, resumed from {checkpoint.name}"
        assert restored["external_path"].endswith(checkpoint.name)
        scene.restarts_before, scene.failed_before = 0, 0

    def proof(self, scene: Scene) -> str:
        return scene.told


PROCESS_FAULTS: list[Fault] = [
    TaskManagerKilled(),
    WorkerKilled(),
    WorkerAborts(),
    WorkerOutOfMemory(),
    CheckpointTimesOut(),
    TaskManagerFrozen(),
    JobManagerKilled(),
]
