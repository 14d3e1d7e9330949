"""How fresh are stored features? Measured from outside: ask the table, again and again, until the row is there.

window end        row asked for …  not yet  not yet  there!
──────┤─────────────┴────────────────┴────────┴────────┤
└──────────────── freshness ─────────────────────┘
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flink_app.generate import ACCEPTED, Chunk
from operators.feature_rows import instant

_SLIDE_MS = 5_000
_SAMPLE = 20  # customers asked for per window end
_GIVE_UP_MS = 30_000
_PAUSE_SECONDS = 0.1


@dataclass
class FreshnessProbe:
    """Watches rows of one feature set appear in the features table.

    Attributes:
        dynamodb: boto3 client.
        table: name of the features table.
        feature_set: a HOP feature set with a slide of five seconds.
        seen_after_ms: per row seen: wall clock when it was first read minus window end, milliseconds.
        emitted_after_ms: of the same rows: when the operator wrote it minus window end.
        never_seen: rows that did not appear within 30 s.
    """

    dynamodb: Any
    table: str
    feature_set: str = "card_velocity"
    seen_after_ms: list[float] = field(default_factory=list)
    emitted_after_ms: list[float] = field(default_factory=list)
    never_seen: int = 0
    _due: list[tuple[int, list[str]]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def expect(self, chunk: Chunk, start_ms: int) -> None:
        """Rows that this chunk must cause: customers who paid in the last seconds before a window end."""
        sent = chunk.send_offsets_ms + start_ms
        for end in range(int(sent[0]) // _SLIDE_MS * _SLIDE_MS + _SLIDE_MS, int(sent[-1]), _SLIDE_MS):
            paid = (sent > end - 4_000) & (sent < end - 1_000) & (chunk.exits == ACCEPTED)
            customers = list(dict.fromkeys(chunk.customers[at] for at in np.flatnonzero(paid).tolist()))[:_SAMPLE]
            if customers:
                with self._lock:
                    self._due.append((end, customers))

    def start(self) -> threading.Thread:
        """Watch in a thread of its own until `finish`."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        return thread

    def finish(self) -> None:
        """Stop watching."""
        self._stop.set()

    def percentile(self, percent: float) -> float:
        """Milliseconds after the window end by which so many of the rows were readable; NaN without a row."""
        return _percentile(self.seen_after_ms, percent)

    def operator_percentile(self, percent: float) -> float:
        """Likewise until the operator wrote the row; the rest of the time is the sink's."""
        return _percentile(self.emitted_after_ms, percent)

    def _watch(self) -> None:
        waiting: dict[str, list[str]] = {}
        ends: dict[str, int] = {}
        while not self._stop.is_set():
            now = time.time() * 1000
            with self._lock:
                for end, customers in [due for due in self._due if due[0] <= now]:
                    key = f"{self.feature_set}#{instant(end)}"
                    waiting[key], ends[key] = customers, end
                self._due = [due for due in self._due if due[0] > now]
            for key, customers in list(waiting.items()):
                there = self._stored(key, customers)
                now = time.time() * 1000
                self.seen_after_ms += [now - ends[key]] * len(there)
                self.emitted_after_ms += [emitted - ends[key] for emitted in there.values()]
                waiting[key] = [customer for customer in customers if customer not in there]
                if now - ends[key] > _GIVE_UP_MS:
                    self.never_seen += len(waiting[key])
                    waiting[key] = []
                if not waiting[key]:
                    del waiting[key]
            self._stop.wait(_PAUSE_SECONDS)

    def _stored(self, key: str, customers: Sequence[str]) -> dict[str, int]:
        """Customer -> `emitted_at` of the rows that are there."""
        keys = [{"customer_id": {"S": customer}, "feature_window": {"S": key}} for customer in customers]
        asked = {self.table: {"Keys": keys, "ProjectionExpression": "customer_id, emitted_at"}}
        answer = self.dynamodb.batch_get_item(RequestItems=asked)
        items = answer["Responses"].get(self.table, [])
        return {item["customer_id"]["S"]: int(item["emitted_at"]["N"]) for item in items}


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else float("nan")
