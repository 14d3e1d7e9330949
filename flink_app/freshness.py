"""How fresh are stored features? Measured from outside: ask the table, again and again, until the row is there.

window end        row asked for …  not yet  not yet  there!
──────┤─────────────┴────────────────┴────────┴────────┤
└──────────────── freshness ─────────────────────┘
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np

from flink_app.generate import ACCEPTED, Chunk, Ints
from operators.feature_rows import instant

WARM_UP_MS = 10_000  # a JVM that has just started interprets and compiles; no steady state yet

_SLIDE_MS = 5_000
_FIRST_PAID_MS, _LAST_PAID_MS = 4_000, 1_000  # before a window's end, of those whose rows are watched
_SAMPLE = 20  # customers asked for per window end, late payments per chunk
_EVERY = 10  # payments looked at for late ones
_LONG_AGO_MS = 5_000
_BATCH_GET = 100  # what BatchGetItem takes
_GIVE_UP_MS = 30_000
_PAUSE_SECONDS = 0.1


@dataclass
class Latencies:
    """How long rows took.

    Attributes:
        seen_after_ms: per row: wall clock when it was first read, minus the moment that called for it, milliseconds.
        emitted_after_ms: of the same rows: when the operator wrote it, minus that moment.
        never_seen: rows that did not appear within 30 s.
    """

    seen_after_ms: list[float] = field(default_factory=list)
    emitted_after_ms: list[float] = field(default_factory=list)
    never_seen: int = 0

    def percentile(self, percent: float) -> float:
        """Milliseconds by which so many of the rows were readable; NaN without a row."""
        return _percentile(self.seen_after_ms, percent)

    def operator_percentile(self, percent: float) -> float:
        """Likewise until the operator wrote the row; the rest of the time is the sink's."""
        return _percentile(self.emitted_after_ms, percent)


@dataclass(frozen=True)
class _Awaited:
    """A row that is to be in the table, written at `since_ms` or later (epoch milliseconds)."""

    customer: str
    window: str
    since_ms: float
    latencies: Latencies


@dataclass
class FreshnessProbe:
    """Watches rows of one feature set appear in the features table.

    Attributes:
        dynamodb: boto3 client.
        table: name of the features table.
        feature_set: a HOP feature set with a slide of five seconds.
        warm_up_ms: rows of a stream's first milliseconds are not watched.
        fresh: from a window's end until its row is there.
        corrected: from the sending of a late payment until the row of a window that had ended is there with it.
    """

    dynamodb: Any
    table: str
    feature_set: str = "card_velocity"
    warm_up_ms: int = WARM_UP_MS
    fresh: Latencies = field(default_factory=Latencies)
    corrected: Latencies = field(default_factory=Latencies)
    _asked: dict[int, set[str]] = field(default_factory=dict)  # window end -> customers; 20 names in five seconds
    _due: list[_Awaited] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def expect(self, chunk: Chunk, start_ms: int) -> None:
        """Rows that this chunk must cause, a sample of them; none in a stream's `warm_up_ms`."""
        sent = chunk.send_offsets_ms + start_ms
        expected = [*self._ended(chunk, sent), *islice(self._late(chunk, sent), _SAMPLE)]
        with self._lock:
            self._due += [row for row in expected if row.since_ms >= start_ms + self.warm_up_ms]

    def start(self) -> threading.Thread:
        """Watch in a thread of its own until `finish`."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        return thread

    def finish(self) -> None:
        """Stop watching."""
        self._stop.set()

    def _ended(self, chunk: Chunk, sent: Ints) -> Iterator[_Awaited]:
        """Customers who paid in the last seconds before a window's end, which may lie behind the chunk's."""
        first = (int(sent[0]) + _LAST_PAID_MS) // _SLIDE_MS * _SLIDE_MS + _SLIDE_MS
        for end in range(first, int(sent[-1]) + _FIRST_PAID_MS, _SLIDE_MS):
            asked = self._asked.setdefault(end, set())
            paid = (sent > end - _FIRST_PAID_MS) & (sent < end - _LAST_PAID_MS) & (chunk.exits == ACCEPTED)
            for at in np.flatnonzero(paid).tolist():
                if len(asked) == _SAMPLE:
                    break
                customer = chunk.customers[at]
                if customer not in asked and _event_ms(chunk.records[at]) > end - _SLIDE_MS:
                    asked.add(customer)
                    yield self._row(customer, end, end, self.fresh)

    def _late(self, chunk: Chunk, sent: Ints) -> Iterator[_Awaited]:
        """Payments that come when the first window that they are in has ended long ago."""
        for at, end in late_payments(chunk, sent, _EVERY):
            yield self._row(chunk.customers[at], end, float(sent[at]), self.corrected)

    def _row(self, customer: str, end: int, since_ms: float, latencies: Latencies) -> _Awaited:
        return _Awaited(customer, f"{self.feature_set}#{instant(end)}", since_ms, latencies)

    def _watch(self) -> None:
        waiting: list[_Awaited] = []
        while not self._stop.is_set():
            now = time.time() * 1000
            with self._lock:
                waiting += [row for row in self._due if row.since_ms <= now]
                self._due = [row for row in self._due if row.since_ms > now]
            waiting = [row for asked in _batched(waiting, _BATCH_GET) for row in self._missing(asked)]
            self._stop.wait(_PAUSE_SECONDS)

    def _missing(self, rows: Sequence[_Awaited]) -> Iterator[_Awaited]:
        """Ask for rows, note those that are there, and return the others."""
        keys = {(row.customer, row.window): None for row in rows}
        asked = [{"customer_id": {"S": customer}, "feature_window": {"S": window}} for customer, window in keys]
        attributes = "customer_id, feature_window, emitted_at"
        answer = self.dynamodb.batch_get_item(
            RequestItems={self.table: {"Keys": asked, "ProjectionExpression": attributes}}
        )
        now = time.time() * 1000
        emitted = {
            (item["customer_id"]["S"], item["feature_window"]["S"]): int(item["emitted_at"]["N"])
            for item in answer["Responses"].get(self.table, [])
        }
        for row in rows:
            emitted_at = emitted.get((row.customer, row.window), 0)
            if emitted_at >= row.since_ms:
                row.latencies.seen_after_ms.append(now - row.since_ms)
                row.latencies.emitted_after_ms.append(emitted_at - row.since_ms)
            elif now - row.since_ms > _GIVE_UP_MS:
                row.latencies.never_seen += 1
            else:
                yield row


def late_payments(chunk: Chunk, sent: Ints, every: int = 1) -> Iterator[tuple[int, int]]:
    """Accepted payments that are sent when the first window that they are in has ended long ago.

    Args:
        chunk: where to look.
        every: look at each so-many-th accepted payment only.
        sent: when each is sent, epoch milliseconds.

    Returns:
        Place in the chunk, and end of that window in epoch milliseconds.
    """
    for at in np.flatnonzero(chunk.exits == ACCEPTED)[::every].tolist():
        end = int(_event_ms(chunk.records[at])) // _SLIDE_MS * _SLIDE_MS + _SLIDE_MS
        if end < sent[at] - _LONG_AGO_MS:
            yield at, end


def _batched(rows: Sequence[_Awaited], size: int) -> Iterator[Sequence[_Awaited]]:
    """Pieces of at most `size` (Python 3.12 has it in itertools)."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _event_ms(record: bytes) -> float:
    return datetime.fromisoformat(json.loads(record)["event_time"]).timestamp() * 1000


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else float("nan")
