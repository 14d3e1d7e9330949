"""What every fault has: a name, an injection, and proof that it hit; and the story around it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType

from flink_app.generate import Chunk
from tests.e2e_stage import Key, Raw, Row, Stage
from tests.faults.proxy import Rule
from tests.faults.scene import PATIENCE, WARM, Act, Scene, squeezed

Group = Mapping[str, str]


class Fault:
    """One thing that goes wrong, from outside: a signal, a limit on a process, Flink's REST, a rule of the proxy.

    Attributes:
        name: as the grid shows it; the class's first doc line says more.
        run: faults of the same run share a job and its payments, one after the other; empty: a run of its own.
        settings: Flink options of the job.
        properties: property groups of the job, beside the usual ones.
        parallelism: of the job.
        may_close: see `laws.judge`.
    """

    name: str
    run: str = ""
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

    def play(self, scene: Scene, faults: Sequence[Fault]) -> list[Act]:
        """A run: submit, send, one fault after the other, until everything is stored."""
        scene.submit()
        scene.start_clock()
        scene.start_sending(self.payments(scene), scene.real_ms)
        scene.world.wait_read(scene.job, WARM, PATIENCE)
        scene.wait_checkpoint(0)
        acts = []
        for fault in faults:
            acts.append(scene.begin_act())
            fault.inject(scene)
            scene.cluster.wait(f"'{fault.name}' to hit", lambda fault=fault: fault.is_over(scene), PATIENCE)
            scene.end_act()
            fault.remember(scene)
        scene.stop_sending()
        scene.wait_stored()
        return acts

    def payments(self, scene: Scene) -> Iterable[Chunk]:
        """What is sent."""
        return squeezed(scene.seed, scene.base_ms)

    def inject(self, scene: Scene) -> None:
        """Now."""

    def is_over(self, scene: Scene) -> bool:
        """Whether it has hit and hits no more; from then on the job can recover."""
        return True

    def remember(self, scene: Scene) -> None:
        """Note what will prove it, just after the job has recovered."""

    def proof(self, scene: Scene, act: Act) -> str:
        """What shows that it hit, asked when all is stored; empty if nothing does."""
        return act.told

    def expectation(self, found: dict[Key, Row], records: list[Raw]) -> Iterable[str]:
        """What the rows must have beside the oracle's columns; takes those columns out of `found`."""
        return ()


class ProxyFault(Fault):
    """Rules of the fault proxy."""

    def __init__(
        self,
        name: str,
        rules: Callable[[], list[Rule]],
        about: str,
        *,
        run: str = "",
        settings: Group | None = None,
        properties: Mapping[str, Group] | None = None,
    ) -> None:
        self.name, self.run, self._rules, self._about = name, run, rules, about
        self.settings, self.properties = settings or {}, properties or {}

    @property
    def about(self) -> str:
        return self._about

    def inject(self, scene: Scene) -> None:
        scene.act.rules = [scene.proxy.add(rule) for rule in self._rules()]

    def is_over(self, scene: Scene) -> bool:
        return all(rule.hits and rule.is_over(time.monotonic()) for rule in scene.act.rules)

    def proof(self, scene: Scene, act: Act) -> str:
        if not act.rules or not all(rule.hits for rule in act.rules):
            return ""
        return ", ".join(f"{rule.hits} × {rule.operation.partition(':')[2]} {rule.what}" for rule in act.rules)
