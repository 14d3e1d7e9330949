"""Runs a cell: one fault, one seed, all laws."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flink_app.local.cluster import FlinkCluster
from tests.e2e_stage import Application, Stage
from tests.faults.catalogue import Fault
from tests.faults.laws import Verdict, judge
from tests.faults.scene import Scene, proxied_world

ROCKSDB = {"state.backend.type": "rocksdb", "execution.checkpointing.incremental": "true"}  # as the managed service has it


@dataclass(frozen=True)
class Cell:
    """The outcome.

    Attributes:
        proof: that the fault hit; empty if it did not.
        verdict: of the laws; None if the run did not come to its end.
        error: why not.
        recovery_s: from the injection to the end of the first checkpoint that began after the last hit; None where
            there is nothing to recover from.
        restarts, failed_checkpoints: as Flink counts them.
        seconds: the whole cell.
    """

    fault: str
    seed: int
    backend: str
    proof: str = ""
    verdict: Verdict | None = None
    error: str = ""
    recovery_s: float | None = None
    restarts: int = 0
    failed_checkpoints: int = 0
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """The fault hit and no law broke."""
        return bool(self.proof) and self.verdict is not None and self.verdict.holds


def run_grid(stage: Stage, faults: Iterable[Fault], seeds: Iterable[int]) -> Iterator[Cell]:
    """Every fault with every seed, a fresh TaskManager for each; a cell that goes wrong does not end the grid."""
    application = stage.application("faults")
    faults = list(faults)
    for seed in seeds:
        for number, fault in enumerate(faults):
            if number or seed != seeds[0]:
                fresh_task_manager(stage.cluster)
            yield run_cell(stage, application, fault, seed)


def fresh_task_manager(cluster: FlinkCluster) -> None:
    """Leave nothing of the cell before: no worker, no class, no thread."""
    cluster.kill_task_manager()
    cluster.add_task_manager(wait=False)
    cluster.wait("a free TaskManager", lambda: _free_slots(cluster) >= cluster.settings.slots, 60)


def _free_slots(cluster: FlinkCluster) -> int:
    return sum(int(manager["freeSlots"]) for manager in cluster.rest("/taskmanagers")["taskmanagers"])


def run_cell(stage: Stage, application: Application, fault: Fault, seed: int) -> Cell:
    """Submit, send, inject, wait until it has recovered and all is stored, stop, judge."""
    began = time.monotonic()
    backend = ROCKSDB if seed % 2 else {}
    cell = {"fault": fault.name, "seed": seed, "backend": "rocksdb" if backend else "heap"}
    name = f"{fault.name.replace(' ', '-').lower()}-{seed}-{int(time.time()) % 100_000}"
    scene = Scene(
        proxied_world(stage, name, fault.properties),
        application,
        seed,
        {**backend, **fault.settings},
        fault.parallelism,
    )
    try:
        recovery_s = fault.play(scene)
        numbers = {"restarts": scene.restarts(), "failed_checkpoints": scene.failed_checkpoints()}
        scene.world.stop(scene.job, drain=True)
        verdict = judge(scene.world, may_close=fault.may_close)
        cell |= {"proof": fault.proof(scene), "verdict": verdict, "recovery_s": recovery_s, **numbers}
    except (Exception, AssertionError) as error:  # noqa: BLE001 - the next cell is another story
        cell["error"] = f"{type(error).__name__}: {error}"
    finally:
        scene.close()
    return Cell(**cell, seconds=time.monotonic() - began)
