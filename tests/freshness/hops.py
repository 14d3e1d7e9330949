"""Where a late payment's time goes until the row that it corrects is written, seen from outside, at the fault proxy.

    to be sent ─► in the stream ─► handed to the job ─► row written by the operator ─► asked for ─► taken by the table
                  arrival time     GetRecords           emitted_at                     BatchWriteItem, its answer

proxy.add(Rule("kinesis:GetRecords", hops.read)), proxy.add(Rule("dynamodb:BatchWriteItem", hops.written))
"""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any, Final

from flink_app.freshness import late_payments
from flink_app.generate import Chunk
from operators.feature_rows import instant
from tests.faults.answers import Forward
from tests.faults.requests import Answer, Request
from tests.freshness.puts import items_taken

HOPS: Final = {  # name -> what takes the time
    "into the stream": "sent with others of up to 200 ms, PutRecords",
    "until the job reads it": "GetRecords, five times a second and shard at the most",
    "until the operator writes the row": "gate, shuffle, Python; changes wait up to `emit.interval.ms` for others",
    "until the sink asks": "exploded into rows; up to 100 ms for 25 of them; one request in flight",
    "until the table has it": "BatchWriteItem",
}
_SAMPLE: Final = 50  # payments of a chunk


@dataclass
class _Followed:
    """A late payment on its way; moments in epoch milliseconds, one more at each hop."""

    customer: str
    window: str
    moments: list[float]


@dataclass
class Hops:
    """Two faults that do no harm: they forward, and note when a followed payment, or its row, comes by.

    Attributes:
        feature_set: a HOP feature set with a slide of five seconds.
    """

    feature_set: str = "card_velocity"
    _sent: dict[str, _Followed] = field(default_factory=dict)  # by event id
    _read: dict[tuple[str, str], _Followed] = field(default_factory=dict)  # by customer and window
    _written: list[_Followed] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def follow(self, chunk: Chunk, start_ms: int) -> None:
        """Follow late payments of a chunk that is about to be sent: those whose first window has ended long ago."""
        sent = chunk.send_offsets_ms + start_ms
        followed = {}
        for at, end in islice(late_payments(chunk, sent), _SAMPLE):
            window = f"{self.feature_set}#{instant(end)}"
            event = json.loads(chunk.records[at])["event_id"]
            followed[event] = _Followed(chunk.customers[at], window, [float(sent[at])])
        with self._lock:
            self._sent |= followed

    def read(self, request: Request, forward: Forward) -> Answer:
        """GetRecords: which of them it hands over, and when they had arrived."""
        answer = forward(request)
        now = time.time() * 1000
        if answer.status == 200:
            for record in json.loads(answer.body)["Records"]:
                self._handed_over(record, now)
        return answer

    def written(self, request: Request, forward: Forward) -> Answer:
        """BatchWriteItem: which of their rows it takes."""
        asked = time.time() * 1000
        answer = forward(request)
        taken = time.time() * 1000
        for item in items_taken(request, answer):
            self._taken(item, asked, taken)
        return answer

    def milliseconds(self, after_ms: float) -> dict[str, list[float]]:
        """Name of a hop -> how long it took the payments that came through; only those to be sent at `after_ms`."""
        with self._lock:
            seen = [one.moments for one in self._written if one.moments[0] >= after_ms]
        steps = [[later - earlier for earlier, later in pairwise(moments)] for moments in seen]
        return {name: [step[at] for step in steps] for at, name in enumerate(HOPS)}

    def _handed_over(self, record: dict[str, Any], now: float) -> None:
        with self._lock:
            try:
                event = json.loads(base64.b64decode(record["Data"]))["event_id"]
                followed = self._sent.pop(event)
            except (ValueError, TypeError, KeyError):
                return  # no payment, or none that is followed, or a second copy
            followed.moments += [record["ApproximateArrivalTimestamp"] * 1000, now]
            self._read[followed.customer, followed.window] = followed

    def _taken(self, item: dict[str, Any], asked: float, taken: float) -> None:
        key = item["customer_id"]["S"], item["feature_window"]["S"]
        with self._lock:
            followed = self._read.get(key)
            emitted = float(item["emitted_at"]["N"])
            if followed and emitted >= followed.moments[-1]:
                del self._read[key]
                followed.moments += [emitted, asked, taken]
                self._written.append(followed)
