"""Takes a stream through gate and bucket along a journey (`law_streams`), as Flink would, and keeps the books."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from operators.feature_settings import FeatureSettings
from tests import oracle
from tests.bucket_harness import Bucket, settings
from tests.law_streams import Record, Step
from tests.window_definitions import CONTRACT, LATENESS_MS, Definition

AT_LEAST_ONCE = ("live",)  # what a crash does not take back; all other exits end in transactions


def chosen(definitions: tuple[Definition, ...], **changes: Any) -> FeatureSettings:
    """Settings with short times, for definitions drawn by chance."""
    times = {"dedup_ttl_ms": 100 * LATENESS_MS, "grace_ms": 5_000, "idle_final_ms": LATENESS_MS + 1_000}
    specs = tuple(definition.spec for definition in definitions)
    return settings(contract=CONTRACT, specs=specs, **(times | changes))


@dataclass
class _Checkpoint:
    at: int
    bucket: Bucket
    written: dict[str, int]
    rejects: dict[str, int]


@dataclass
class Journey:
    """A stream on its way. `bucket` is the one that lives now; `restarts` says where in the live rows one began.

    Attributes:
        records: in the order in which they are read.
        settings: of the operator.
    """

    records: list[Record]
    settings: FeatureSettings
    bucket: Bucket = field(init=False)
    now_ms: int = field(init=False)
    restarts: list[int] = field(default_factory=list)
    _at: int = 0
    _checkpoint: _Checkpoint | None = None

    def __post_init__(self) -> None:
        self.now_ms = min(arrival for _, arrival in self.records)
        self.bucket = Bucket(self.settings, now_ms=self.now_ms)

    def go(self, steps: list[Step], end: str) -> Bucket:
        """All steps, again and again, until everything is read; then the end. Returns the last bucket."""
        remaining = list(steps)
        while self._at < len(self.records):
            self._take(remaining.pop(0) if remaining else steps[self._at % len(steps)], crash_allowed=bool(remaining))
        self._finish(end)
        return self.bucket

    def _take(self, step: Step, *, crash_allowed: bool) -> None:
        batch = self.records[self._at : self._at + step.records]
        self._at += len(batch)
        self.now_ms = max(self.now_ms, *(arrival for _, arrival in batch))
        self.bucket.send(batch, self.now_ms)
        if step.shown:
            self.bucket.tick(self.now_ms)
        if step.behind_ms is not None:
            self.bucket.watermark(self._highest_watermark() - step.behind_ms, self.now_ms)
        self._rest(step.silence_ms)
        if step.then == "restart":
            self._restart(self.bucket)
        elif step.then == "checkpoint":
            self._checkpoint = self._snapshot()
        elif step.then == "crash" and crash_allowed and self._checkpoint is not None:
            self._crash(self._checkpoint)

    def _highest_watermark(self) -> int:
        """Arrival − L − 1 ms of the newest record read, and no unread one is behind it."""
        unread = min((arrival for _, arrival in self.records[self._at :]), default=self.now_ms)
        return min(unread, max(arrival for _, arrival in self.records[: self._at])) - LATENESS_MS - 1

    def _rest(self, silence_ms: int) -> None:
        """The wall clock goes on and the processing timers fire."""
        until = self.now_ms + silence_ms
        while (due := self.bucket.bucket.next_tick_ms(self.now_ms)) is not None and due <= until:
            self.now_ms = due
            self.bucket.tick(due)
        self.now_ms = until

    def _finish(self, end: str) -> None:
        if end == "drained":
            self.bucket.end()
        elif end == "passed":
            self.bucket.watermark(self.now_ms + 1_000 * LATENESS_MS, self.now_ms)
        else:
            while (due := self.bucket.bucket.next_tick_ms(self.now_ms)) is not None:
                self.now_ms = due
                self.bucket.tick(due)

    def _restart(self, bucket: Bucket) -> None:
        self.bucket = bucket.restored(self.now_ms)
        self.restarts.append(len(self.bucket.out["live"]))

    def _snapshot(self) -> _Checkpoint:
        state = copy.deepcopy(self.bucket.state)
        written = {name: len(rows) for name, rows in self.bucket.out.items()}
        frozen = copy.copy(self.bucket)
        frozen.state = state
        return _Checkpoint(self._at, frozen, written, dict(self.bucket.rejects))

    def _crash(self, back: _Checkpoint) -> None:
        """What was written in transactions since the checkpoint is gone, and the stream is read again from there."""
        for name, rows in self.bucket.out.items():
            if name not in AT_LEAST_ONCE:
                del rows[back.written.get(name, 0) :]
        self.bucket.rejects.update(dict.fromkeys(self.bucket.rejects, 0) | back.rejects)
        self._at = back.at
        self._restart(back.bucket)


def stored(bucket: Bucket) -> dict[tuple[str, str, int], dict[str, Any]]:
    """The features table by (feature set, customer, window end): the last live row of each item."""
    rows = {}
    for row in bucket.out["live"]:
        rows[row["feature_set"], row["customer_id"], oracle.epoch_ms(row["window_end"])] = row
    return rows


def exits(bucket: Bucket) -> dict[str, int]:
    """Records by exit, without the empty ones: the account as written and what the state still owes it."""
    owed = bucket.bucket.progress
    account = {name: count + getattr(owed, name) for name, count in bucket.account().items()} | dict(bucket.rejects)
    return {name: count for name, count in account.items() if count}
