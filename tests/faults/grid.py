"""Runs a cell: one fault, one seed, all laws."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flink_app.local.cluster import FlinkCluster
from tests.e2e_stage import Application, Stage
from tests.faults.aws_faults import AWS_FAULTS
from tests.faults.laws import Verdict, judge
from tests.faults.process_faults import PROCESS_FAULTS
from tests.faults.scene import Scene, proxied_world
from tests.faults.story import Fault
from tests.faults.stream_faults import STREAM_FAULTS

FAULTS: list[Fault] = [*PROCESS_FAULTS, *AWS_FAULTS, *STREAM_FAULTS]
ROCKSDB = {
    "state.backend.type": "rocksdb",
    "execution.checkpointing.incremental": "true",
}  # as the managed service has it


@dataclass(frozen=True)
class Cell:
    """The outcome.

    Attributes:
        proof: that the fault hit; empty if it did not.
        verdict: of the laws; None if the run did not come to its end.
        error: why not.
        recovery_s: from the injection to the end of the first checkpoint that began after the last hit; None where
            there is nothing to recover from.
        restarts, failed_checkpoints: as Flink counts them, from the injection on.
        skipped: what the machine lacks.
        seconds: the whole cell.
    """

    fault: str
    seed: int
    backend: str
    proof: str = ""
    verdict: Verdict | None = None
    error: str = ""
    skipped: str = ""
    recovery_s: float | None = None
    restarts: int = 0
    failed_checkpoints: int = 0
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """The fault hit and no law broke."""
        return bool(self.proof) and self.verdict is not None and self.verdict.holds


def run_grid(stage: Stage, faults: Sequence[Fault], seeds: Sequence[int]) -> Iterator[Cell]:
    """Every fault with every seed, a fresh TaskManager for each; a cell that goes wrong does not end the grid."""
    application = stage.application("faults")
    for seed in seeds:
        for fault in faults:
            fresh_task_manager(stage.cluster)
            yield run_cell(stage, application, fault, seed)


def fresh_task_manager(cluster: FlinkCluster) -> None:
    """Leave nothing of the cell before: no worker, no class, no thread."""
    while cluster._task_managers:
        cluster.kill_task_manager()
    cluster.add_task_manager(wait=False)
    cluster.wait("a free TaskManager", lambda: _free_slots(cluster) == cluster.settings.slots, 60)


def _free_slots(cluster: FlinkCluster) -> int:
    return sum(int(manager["freeSlots"]) for manager in cluster.rest("/taskmanagers")["taskmanagers"])


def run_cell(stage: Stage, application: Application, fault: Fault, seed: int) -> Cell:
    """Submit, send, inject, wait until it has recovered and all is stored, stop, judge."""
    began = time.monotonic()
    settings = ROCKSDB if seed % 2 else {}
    cell: dict[str, Any] = {"fault": fault.name, "seed": seed, "backend": "rocksdb" if settings else "heap"}
    if missing := fault.missing():
        return Cell(**cell, skipped=f"this machine lacks {missing}")
    name = re.sub(r"\W+", "-", f"{fault.name} {seed} {time.time_ns() // 10**9 % 100_000}").lower()
    with contextlib.ExitStack() as cleanup:
        try:
            opened = cleanup.enter_context(fault.opened(stage))
            world = proxied_world(opened, name, fault.properties)
            scene = Scene(world, application, seed, {**settings, **fault.settings}, fault.parallelism)
            cleanup.callback(scene.close)
            recovery_s = fault.play(scene)
            cell |= {"recovery_s": recovery_s, "restarts": scene.restarts(), "failed_checkpoints": scene.failed()}
            cell["proof"] = fault.proof(scene)
            scene.world.stop(scene.job, drain=True)
            cell["verdict"] = judge(world, may_close=fault.may_close, expectation=fault.expectation)
        except (Exception, AssertionError) as error:  # noqa: BLE001 - the next cell is another story
            cell["error"] = f"{type(error).__name__}: {error}"
    return Cell(**cell, seconds=time.monotonic() - began)
