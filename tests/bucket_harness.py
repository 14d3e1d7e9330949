"""Drives a FeatureBucket as the shell would, without Flink: state in dictionaries, time in the hands of the test."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa

from operators import packing
from operators.arrival_clock import ArrivalClock
from operators.bucket_state import BucketState
from operators.feature_bucket import END_OF_STREAM, FeatureBucket
from operators.feature_settings import FeatureSettings
from operators.gate import Gate
from operators.operator_stats import OperatorStats
from tests.delivered import CARD_VELOCITY, CONTRACT, CUSTOMER_SPEND

T0 = 1_767_268_800_000  # 2026-01-01T12:00:00Z, a multiple of 15 minutes
KEY = "a key of sixteen bytes or more"


@dataclass
class MapState:
    """A Flink MapState in a dictionary."""

    entries: dict[int, bytes] = field(default_factory=dict)

    def get(self, key: int) -> bytes | None:
        return self.entries.get(key)

    def put(self, key: int, value: bytes) -> None:
        self.entries[key] = value

    def remove(self, key: int) -> None:
        del self.entries[key]

    def items(self) -> list[tuple[int, bytes]]:
        return list(self.entries.items())


@dataclass
class ValueState:
    """A Flink ValueState in a field."""

    stored: bytes | None = None

    def value(self) -> bytes | None:
        return self.stored

    def update(self, value: bytes) -> None:
        self.stored = value


def settings(**changes: Any) -> FeatureSettings:
    """The delivered windows with the defaults of the properties."""
    chosen: dict[str, Any] = {
        "contract": CONTRACT, "specs": (CARD_VELOCITY, CUSTOMER_SPEND), "emit_interval_ms": 500,
        "item_ttl_seconds": 86_400, "dedup_ttl_ms": 600_000, "grace_ms": 300_000, "idle_final_ms": 130_000,
    }  # fmt: skip
    return FeatureSettings(**(chosen | changes))


def payment(customer: str, at_ms: int, number: int, **fields: Any) -> bytes:
    """One payment as JSON."""
    seconds, millis = divmod(at_ms, 1000)
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{millis:03}Z"
    amount = fields.pop("amount", "10.00")
    event = {"event_id": f"e{number}", "customer_id": customer, "merchant_id": "m1", "event_time": moment} | fields
    return json.dumps(event)[:-1].encode() + f', "amount": {amount}}}'.encode()


class Bucket:
    """One bucket behind a gate: records in, decoded rows out."""

    def __init__(
        self, chosen: FeatureSettings | None = None, state: BucketState | None = None, now_ms: int = T0
    ) -> None:
        self.settings = chosen or settings()
        self.state = state or BucketState(MapState(), MapState(), ValueState())
        self.gate = Gate(self.settings.contract, KEY, (7,))
        self.clock = ArrivalClock()
        self.bucket = FeatureBucket(7, self.settings, self.state, self.clock, OperatorStats(), now_ms)
        self.out: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.rejects: dict[str, int] = defaultdict(int)

    def restored(self, now_ms: int = T0, **changes: Any) -> Bucket:
        """A new bucket from copies of this one's state, as after a crash; what this one wrote is kept."""
        state = BucketState(
            MapState(dict(self.state.log.entries)),
            MapState(dict(self.state.schemas.entries)),
            ValueState(self.state.progress.stored),
        )
        again = type(self)(settings(**changes) if changes else self.settings, state, now_ms)
        again.out, again.rejects = self.out, self.rejects
        return again

    def send(self, records: list[tuple[bytes, int]], now_ms: int | None = None) -> None:
        """Records (data, arrival) as one batch through the gate."""
        n = len(records)
        arrivals = pa.array([a for _, a in records], pa.int64()).to_numpy()
        admission = self.gate.admit([d for d, _ in records], arrivals, ["shard"] * n, [str(i) for i in range(n)])
        for reason in ("malformed", "future", "too_late"):
            self.rejects[reason] += admission.counts.get(reason, 0)
        for _, blob in admission.batches:
            self.take(blob, now_ms if now_ms is not None else max(a for _, a in records))

    def take(self, blob: bytes, now_ms: int) -> None:
        """One blob that the gate has given out."""
        self._take(self.bucket.receive(blob, now_ms))

    def tick(self, now_ms: int) -> None:
        self._take(self.bucket.tick(now_ms))

    def watermark(self, watermark: int, now_ms: int = T0) -> None:
        """Fires the event timers up to `watermark`, as Flink does: once each, with the watermark already there."""
        due = self.bucket.next_watermark_ms()
        while due is not None and due <= watermark:
            self._take(self.bucket.advance(watermark, now_ms))
            following = self.bucket.next_watermark_ms()
            if watermark == END_OF_STREAM or following == due:
                break
            due = following

    def end(self) -> None:
        self.watermark(END_OF_STREAM)

    def final(self) -> dict[tuple[str, str, int], dict[str, Any]]:
        """Final rows by (feature set, customer, window end); the largest revision is the truth."""
        rows: dict[tuple[str, str, int], dict[str, Any]] = {}
        for exit_name, batch in self.out.items():
            if exit_name.startswith("final:"):
                for row in batch:
                    key = (row["feature_set"], row["customer_id"], round(row["window_end"].timestamp() * 1000))
                    if key not in rows or rows[key]["revision"] <= row["revision"]:
                        rows[key] = row
        return rows

    def stored(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The features table: the last live row of each item."""
        return {(row["customer_id"], row["feature_window"]): row for row in self.out["live"]}

    def account(self) -> dict[str, int]:
        """Sums of the account rows."""
        return {
            name: sum(row[name] for row in self.out["account"]) for name in ("counted", "duplicate", "window_closed")
        }

    def _take(self, exits: list[tuple[str, bytes]]) -> None:
        for name, stream in exits:
            table = pa.ipc.open_stream(pa.py_buffer(stream)).read_all()
            for i, column in enumerate(table.schema):
                if pa.types.is_timestamp(column.type) and column.type.tz is None:
                    table = table.set_column(i, column.name, table.column(i).cast(pa.timestamp("ms", "UTC")))
            self.out[name] += table.to_pylist()


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """A final row's own columns."""
    skipped = ("customer_id", "window_start", "window_end", "feature_set", "dt", "hour")
    return {name: Decimal(v) if isinstance(v, Decimal) else v for name, v in row.items() if name not in skipped}


__all__ = ["CONTRACT", "END_OF_STREAM", "T0", "Bucket", "comparable", "packing", "payment", "settings"]
