"""What the keyed operator is told: one frozen object, made by the job from the properties and the window files."""

from __future__ import annotations

from dataclasses import dataclass

from operators.contract import Contract
from operators.window_spec import WindowSpec


@dataclass(frozen=True)
class FeatureSettings:
    """What the keyed operator is told; durations in milliseconds, see the properties of the same names.

    Attributes:
        contract: the event contract.
        specs: the window files that run on slices.
        emit_interval_ms: live rows are written so often at the most.
        item_ttl_seconds: added to a row's window end, it gives the item's `expires_at`.
        dedup_ttl_ms: an event id is remembered so long at the least; not below L.
        grace_ms: how far behind the watermark an accepted event may still be counted.
        idle_final_ms: silence after which the last windows become final without a watermark; None: never (archive).
        bucket_keys: every key that the gate gives out; empty: not checked.
        forwards_events: whether native windows want the accepted events, one by one.
        writes_live: whether somebody stores live rows; if not, none are computed.
    """

    contract: Contract
    specs: tuple[WindowSpec, ...]
    emit_interval_ms: int
    item_ttl_seconds: int
    dedup_ttl_ms: int
    grace_ms: int
    idle_final_ms: int | None
    bucket_keys: tuple[int, ...] = ()
    forwards_events: bool = False
    writes_live: bool = True

    def __post_init__(self) -> None:
        if self.dedup_ttl_ms < self.contract.lateness_ms:
            raise ValueError(
                f"dedup TTL {self.dedup_ttl_ms} ms is below the lateness bound {self.contract.lateness_ms} ms"
            )
        if self.emit_interval_ms <= 0 or self.grace_ms < 0:
            raise ValueError(f"emit interval {self.emit_interval_ms} ms must be > 0, grace {self.grace_ms} ms >= 0")

    @property
    def longest_ms(self) -> int:
        """The longest window; 0 where all windows run natively."""
        return max((g.size_ms for spec in self.specs for g in spec.granularities), default=0)

    @property
    def kept_ms(self) -> int:
        """How long the log keeps an event behind the closed horizon: for the longest window, and for its id."""
        return max(self.longest_ms, self.dedup_ttl_ms - self.grace_ms)
