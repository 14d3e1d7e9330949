"""What `make curves` has found so far: kept as JSON after each point, so that one axis can be measured again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from tests.bench.payload import BENCH
from tests.bench.result import Result
from tests.curves.measure import Restore

_FILE: Final = BENCH / "curves.json"


@dataclass
class Measured:
    """All curves of one size on one backend.

    Attributes:
        events: payments of each point.
        backend: heap or rocksdb.
        curves: key of AXES -> (value, run).
        restores: by events in the log.
        commands: that measured it, oldest first.
    """

    events: int
    backend: str
    curves: dict[str, list[tuple[float, Result]]] = field(default_factory=dict)
    restores: list[Restore] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def save(self) -> None:
        """After each point."""
        _FILE.parent.mkdir(parents=True, exist_ok=True)
        _FILE.write_bytes(msgspec.json.encode(self))


def load(events: int, backend: str) -> Measured:
    """What was saved last; nothing if that was of another size or backend, whose points do not compare."""
    if _FILE.exists():
        found = msgspec.json.decode(_FILE.read_bytes(), type=Measured)
        if (found.events, found.backend) == (events, backend):
            return found
    return Measured(events, backend)
