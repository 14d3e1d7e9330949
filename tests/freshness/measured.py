"""What `make freshness` has found so far: kept as JSON, so that one part can be measured again and the rest stays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from flink_app.local.places import LOCAL
from tests.freshness.runs import CatchUp, Cost, Fresh

_FILE: Final = LOCAL / "freshness.json"


@dataclass
class Measured:
    """All parts.

    Attributes:
        sustained, defaults: records a second, with the job's bundle settings and with PyFlink's.
        loads: (share of what is sustained, with the job's bundle settings, run).
        hops: name of a hop -> milliseconds that it took each payment that was followed.
        costs: (kind of customers, run).
        outage: an hour of payments that waited.
        commands: that measured it, oldest first.
    """

    sustained: float | None = None
    defaults: float | None = None
    loads: list[tuple[float, bool, Fresh]] = field(default_factory=list)
    hops: dict[str, list[float]] = field(default_factory=dict)
    costs: list[tuple[str, Cost]] = field(default_factory=list)
    outage: CatchUp | None = None
    commands: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Every part has been measured."""
        return bool(self.sustained and self.defaults and self.loads and self.hops and self.costs and self.outage)

    def save(self) -> None:
        """After each part."""
        _FILE.parent.mkdir(parents=True, exist_ok=True)
        _FILE.write_bytes(msgspec.json.encode(self))


def load() -> Measured:
    """What was saved last; nothing if nothing was."""
    return msgspec.json.decode(_FILE.read_bytes(), type=Measured) if _FILE.exists() else Measured()
