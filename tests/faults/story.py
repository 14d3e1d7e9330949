"""What every fault has: a name, a story from the submission to the last stored record, and proof that it hit."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType

from flink_app.generate import Chunk
from tests.e2e_stage import Key, Raw, Row, Stage
from tests.faults.proxy import Rule
from tests.faults.scene import EVENTS, RATE, SPEED, Scene, squeezed

Group = Mapping[str, str]


class Fault:
    """One thing that goes wrong, from outside: a signal, a limit on a process, Flink's REST, a rule of the proxy.

    Attributes:
        name: as the grid shows it; the class's first doc line says more.
        settings: Flink options of the job.
        properties: property groups of the job, beside the usual ones.
        parallelism: of the job.
        may_close: see `laws.judge`.
    """

    name: str
    settings: Group = MappingProxyType({})
    properties: Mapping[str, Group] = MappingProxyType({})
    parallelism: int = 2
    may_close: bool = False

    @property
    def about(self) -> str:
        """What is injected, in a line."""
        return " ".join((type(self).__doc__ or "").partition("\n\n")[0].split()).rstrip(".")

    def missing(self) -> str:
        """What this machine lacks for it; empty: nothing."""
        return ""

    def opened(self, stage: Stage) -> AbstractContextManager[Stage]:
        """The stage it plays on."""
        return contextlib.nullcontext(stage)

    def play(self, scene: Scene) -> float | None:
        """From the submission until everything is stored; returns the recovery time in seconds."""
        self.before(scene)
        scene.submit()
        scene.start_clock(int(EVENTS / RATE * SPEED * 1000))
        scene.start_sending(self.payments(scene))
        scene.world.wait_read(scene.job, EVENTS // 3)
        scene.wait_checkpoint(0)
        scene.begin_fault()
        self.inject(scene)
        scene.cluster.wait(f"'{self.name}' to hit", lambda: self.is_over(scene), 120)
        recovered_ms = scene.wait_checkpoint(time.time() * 1000)
        scene.finish_sending()
        scene.wait_stored()
        return (recovered_ms - scene.injected_ms) / 1000

    def before(self, scene: Scene) -> None:
        """Before the job is submitted."""

    def payments(self, scene: Scene) -> Iterable[Chunk]:
        """What is sent."""
        return squeezed(scene.seed, scene.base_ms)

    def inject(self, scene: Scene) -> None:
        """Now: a third of the payments has been read, and a checkpoint is there."""

    def is_over(self, scene: Scene) -> bool:
        """Whether it has hit and hits no more; from then on the job can recover."""
        return True

    def proof(self, scene: Scene) -> str:
        """What shows that it hit, asked when all is stored; empty if nothing does."""
        raise NotImplementedError

    def expectation(self, found: dict[Key, Row], records: list[Raw]) -> Iterable[str]:
        """What the rows must have beside the oracle's columns; takes those columns out of `found`."""
        return ()


class ProxyFault(Fault):
    """Rules of the fault proxy."""

    def __init__(
        self,
        name: str,
        rules: Callable[[Scene], list[Rule]],
        *,
        settings: Group | None = None,
        properties: Mapping[str, Group] | None = None,
        about: str = "",
    ) -> None:
        self.name, self._rules, self._about = name, rules, about
        self.settings, self.properties = settings or {}, properties or {}

    @property
    def about(self) -> str:
        return self._about

    def inject(self, scene: Scene) -> None:
        scene.rules = [scene.proxy.add(rule) for rule in self._rules(scene)]

    def is_over(self, scene: Scene) -> bool:
        return all(rule.hits and rule.is_over(time.monotonic()) for rule in scene.rules)

    def proof(self, scene: Scene) -> str:
        if not all(rule.hits for rule in scene.rules):
            return ""
        return ", ".join(f"{rule.hits} × {rule.operation.partition(':')[2]} {rule.what}" for rule in scene.rules)
