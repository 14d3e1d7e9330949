"""The processes of a cluster, and what can be done to them from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

from flink_app.local.cluster import FlinkCluster

WORKER = "pyflink.fn_execution.beam.beam_boot"  # the Python process in which the operators run


def workers(cluster: FlinkCluster) -> list[int]:
    """Python workers of all TaskManagers, oldest first."""
    ours = set(cluster.worker_pids())
    listing = subprocess.run(
        ["ps", "-eo", "pid=,args=", "--sort", "start_time"], check=True, capture_output=True, text=True
    )
    rows = (line.split(None, 1) for line in listing.stdout.splitlines())
    return [int(pid) for pid, command in rows if WORKER in command and int(pid) in ours]


def task_manager(cluster: FlinkCluster) -> int:
    """Process group of the TaskManager, workers included."""
    return cluster._task_managers[0].pid


def signal_later(group: int, number: signal.Signals, seconds: float) -> None:
    """Send a signal to a process group after a while; a group that has gone is fine."""

    def send() -> None:
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            return

    timer = threading.Timer(seconds, send)
    timer.daemon = True
    timer.start()


def limit_memory(pid: int, above: int) -> int:
    """Let a process have only `above` bytes of address space more than it has; returns the limit in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + above
    subprocess.run(["prlimit", "--pid", str(pid), f"--as={limit}:{limit}"], check=True)
    return limit


def restart_job_manager(cluster: FlinkCluster) -> int:
    """SIGKILL the JobManager, start another at the same ports; returns the process id of the dead one."""
    dead = cluster._job_manager
    assert dead is not None
    os.killpg(dead.pid, signal.SIGKILL)
    dead.wait()
    cluster._job_manager = cluster._spawn("jobmanager")
    cluster.wait("the new JobManager", lambda: cluster._job_manager_state() == "up", 60)
    return dead.pid


def newest_checkpoint(cluster: FlinkCluster, job: str) -> Path:
    """The newest complete checkpoint on disk."""
    complete = (cluster.directory / "checkpoints" / job).glob("chk-*/_metadata")
    return max((file.parent for file in complete), key=lambda folder: int(folder.name.partition("-")[2]))
