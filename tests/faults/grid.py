"""Runs the grid: faults that can share a job share one, and all laws are judged at its end.

If a law breaks in a shared run, each of its faults is played alone, so that the grid names the one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flink_app.local.cluster import FlinkCluster
from flink_app.local.flink_rest import ENDED
from flink_app.local.places import LOCAL
from tests.e2e_stage import Application, Stage
from tests.faults.aws_faults import AWS_FAULTS
from tests.faults.laws import Verdict, judge
from tests.faults.process_faults import PROCESS_FAULTS
from tests.faults.scene import PATIENCE, Act, Scene, proxied_world
from tests.faults.story import Fault
from tests.faults.stream_faults import STREAM_FAULTS

FAULTS: list[Fault] = [*PROCESS_FAULTS, *AWS_FAULTS, *STREAM_FAULTS]
ROCKSDB = {"state.backend.type": "rocksdb", "execution.checkpointing.incremental": "true"}  # as the managed service
PATIENT = {"restart-strategy.fixed-delay.attempts": "1000"}


@dataclass(frozen=True)
class Cell:
    """The outcome of one fault with one seed.

    Attributes:
        fault, seed, backend: what was played.
        run: the name of the run it shared, if it did.
        proof: that the fault hit; empty if it did not.
        verdict: of the laws over the whole run; None if the run did not come to its end.
        error: why not.
        skipped: what the machine lacks.
        recovery_s: from the injection to the end of the first checkpoint that began after the last hit; None where
            there is nothing to recover from.
        restarts: of the job, from the injection until it had recovered.
    """

    fault: str
    seed: int
    backend: str
    run: str = ""
    proof: str = ""
    verdict: Verdict | None = None
    error: str = ""
    skipped: str = ""
    recovery_s: float | None = None
    restarts: int = 0

    @property
    def holds(self) -> bool:
        """The fault hit and no law broke."""
        return bool(self.proof) and self.verdict is not None and self.verdict.holds


def run_grid(stage: Stage, faults: Sequence[Fault], seeds: Sequence[int]) -> Iterator[list[Cell]]:
    """Every fault with every seed, run by run, a fresh TaskManager for each run; nothing ends the grid."""
    application = stage.application("faults")
    for seed in seeds:
        for run in runs(faults):
            fresh_task_manager(stage.cluster)
            cells = play(stage, application, run, seed)
            if len(run) > 1 and not all(cell.holds for cell in cells):
                yield cells
                for fault in run:
                    fresh_task_manager(stage.cluster)
                    yield play(stage, application, [fault], seed)
            else:
                yield cells


def runs(faults: Sequence[Fault]) -> list[list[Fault]]:
    """The faults by the run that they share, in order."""
    shared: dict[str, list[Fault]] = {}
    for fault in faults:
        shared.setdefault(fault.run or fault.name, []).append(fault)
    return list(shared.values())


def fresh_task_manager(cluster: FlinkCluster) -> None:
    """Leave nothing of the run before: no job, no worker, no class, no thread."""
    for job in cluster.rest("/jobs")["jobs"]:
        if job["status"] not in ENDED:
            cluster.cancel(job["id"], PATIENCE)
    while cluster._task_managers:
        cluster.kill_task_manager()
    cluster.add_task_manager(wait=False)
    cluster.wait("a free TaskManager", lambda: _free_slots(cluster) == cluster.settings.slots, PATIENCE)


def _free_slots(cluster: FlinkCluster) -> int:
    return sum(int(manager["freeSlots"]) for manager in cluster.rest("/taskmanagers")["taskmanagers"])


def _proof(fault: Fault, scene: Scene, act: Act) -> str:
    found = fault.proof(scene, act)
    ended = ", ".join(f"signal {-code}" if code < 0 else f"code {code}" for code in act.replaced)
    return f"{found}; TaskManager ended by itself ({ended}), replaced" if found and ended else found


def _keep_logs(cluster: FlinkCluster, name: str) -> Path:
    """What the cluster has logged so far, for somebody to read; what its threads do ends each process's output."""
    for pid in cluster.task_manager_pids():
        os.kill(pid, signal.SIGQUIT)
    time.sleep(1)
    kept = LOCAL / "logs" / name
    shutil.copytree(cluster.logs, kept, dirs_exist_ok=True)
    return kept


def play(stage: Stage, application: Application, faults: Sequence[Fault], seed: int) -> list[Cell]:
    """One run: its faults in turn, stop, judge; a cell for each."""
    first, settings = faults[0], ROCKSDB if seed % 2 else {}
    common: dict[str, Any] = {"seed": seed, "backend": "rocksdb" if settings else "heap"}
    common["run"] = first.run if len(faults) > 1 else ""
    if missing := first.missing():
        return [Cell(fault.name, **common, skipped=f"this machine lacks {missing}") for fault in faults]
    name = re.sub(r"\W+", "-", f"{first.name} {seed} {time.time_ns() // 10**9 % 100_000}").lower()
    options = {**PATIENT, **settings, **{key: value for fault in faults for key, value in fault.settings.items()}}
    groups = {group: values for fault in faults for group, values in fault.properties.items()}
    with contextlib.ExitStack() as cleanup:
        try:
            world = proxied_world(cleanup.enter_context(first.opened(stage)), name, groups)
            scene = Scene(world, application, seed, options, first.parallelism)
            cleanup.callback(scene.close)
            acts = first.play(scene, faults)
            proofs = [_proof(fault, scene, act) for fault, act in zip(faults, acts, strict=True)]
            scene.world.stop(scene.job, drain=True)
            common["verdict"] = judge(world, may_close=first.may_close, expectation=first.expectation)
        except (Exception, AssertionError) as error:  # noqa: BLE001 - the next run is another story
            told = f"{type(error).__name__}: {error} · logs: {_keep_logs(stage.cluster, name)}"
            return [Cell(fault.name, **common, error=told) for fault in faults]
    return [
        Cell(fault.name, **common, proof=proof, recovery_s=act.recovery_s, restarts=act.restarts)
        for fault, act, proof in zip(faults, acts, proofs, strict=True)
    ]
