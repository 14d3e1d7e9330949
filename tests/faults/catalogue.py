"""The faults: what they are called, how they are injected, and what proves that they hit.

A fault is injected from outside only: a signal or a limit on a process, Flink's REST interface, or a rule of the fault
proxy. It begins when a third of the payments has been read and a checkpoint is there to fall back to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import ClassVar

from tests.faults import answers
from tests.faults.proxy import Rule
from tests.faults.scene import EVENTS, RATE, SPEED, Scene, squeezed

Group = Mapping[str, str]


class Fault:
    """One thing that goes wrong, and the story around it.

    Attributes:
        name: as the grid shows it.
        about: what is injected.
        settings: Flink options of the job.
        properties: property groups of the job, beside the usual ones.
        parallelism: of the job.
        may_close: see `laws.judge`.
        seeds: how many of the seeds are worth it.
    """

    name: str
    about: str
    settings: Group = {}
    properties: Mapping[str, Group] = {}
    parallelism: int = 2
    may_close: bool = False

    def play(self, scene: Scene) -> float | None:
        """From the submission until everything is stored; returns the recovery time in seconds."""
        self.before(scene)
        scene.submit()
        span_ms = int(EVENTS / RATE * SPEED * 1000)
        scene.start_clock(span_ms)
        scene.start_sending(squeezed(scene.seed, scene.base_ms))
        scene.world.wait_read(scene.job, EVENTS // 3)
        scene.wait_checkpoint(0)
        scene.injected_ms = time.time() * 1000
        self.inject(scene)
        scene.cluster.wait(f"{self.name} to hit", lambda: self.is_over(scene), 120)
        recovered_ms = scene.wait_checkpoint(time.time() * 1000)
        scene.finish_sending()
        scene.wait_stored()
        return (recovered_ms - scene.injected_ms) / 1000

    def before(self, scene: Scene) -> None:
        """Before the job is submitted."""

    def inject(self, scene: Scene) -> None:
        """Now."""
        raise NotImplementedError

    def is_over(self, scene: Scene) -> bool:
        """Whether it has hit and hits no more; from then on the job can recover."""
        raise NotImplementedError

    def proof(self, scene: Scene) -> str:
        """What shows that it hit; empty if nothing does."""
        raise NotImplementedError


class ProxyFault(Fault):
    """Rules of the fault proxy."""

    def __init__(self, name: str, about: str, rules: Callable[[], list[Rule]], **how: Mapping[str, Group]) -> None:
        self.name, self.about, self._rules = name, about, rules
        self.settings = how.get("settings", {})
        self.properties = how.get("properties", {})

    def inject(self, scene: Scene) -> None:
        scene.rules = [scene.proxy.add(rule) for rule in self._rules()]

    def is_over(self, scene: Scene) -> bool:
        return all(rule.hits and rule.is_over(time.monotonic()) for rule in scene.rules)

    def proof(self, scene: Scene) -> str:
        if not all(rule.hits for rule in scene.rules):
            return ""
        return ", ".join(f"{rule.hits} × {rule.operation.partition(':')[2]} {rule.what}" for rule in scene.rules)


WRITE, READ = "dynamodb:BatchWriteItem", "kinesis:GetRecords"
PART, COMMIT = "s3:UploadPart", "s3:CompleteMultipartUpload"


def dynamodb_refuses() -> list[Rule]:
    return [
        Rule(WRITE, answers.internal_error, times=10, what="answered 500"),
        Rule(WRITE, answers.unprocessed(3), times=20, what="a third UnprocessedItems"),
        Rule(WRITE, answers.throttle, times=20, what="throttled"),
    ]


FAULTS: list[Fault] = [
    ProxyFault(
        "DynamoDB throttles", "BatchWriteItem throttled 20 times, a third unprocessed 20 times, 500 10 times", dynamodb_refuses
    ),
]
