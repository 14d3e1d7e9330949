"""The event log of one bucket: every accepted blob, in keyed state, for as long as a window can need its events.

    batch number   0   1   2   3   4   5            counted_batch = 3: batches 4 and 5 wait to be counted
                   ├── counted ──┤ └ pending ┘
                   └─► pruned from the front, when the newest event of the batch is behind the horizon

A blob is stored as it came. Which of its events are duplicates is known when it is counted, and stored beside it: the
event that they repeat may be pruned first, so replaying alone could not find them again. The marks of batch n are bits,
in order, under the key ~n (negative), only where there are any.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators import packing
from operators.bucket_state import Log
from operators.contract import EVENT_TIME
from operators.event_batches import epoch_ms, filtered


class _Batch(NamedTuple):
    number: int
    newest_event_ms: int
    size: int


class EventLog:
    """See the module.

    Args:
        log, schemas: the bucket's state.
        schema: of the events as they come now; blobs under an older contract are conformed to it.
    """

    def __init__(self, log: Log, schemas: Log, schema: pa.Schema) -> None:
        self._log, self._schemas, self._schema = log, schemas, schema
        self._fingerprint = packing.fingerprint(schema)
        self._knows_schema = False
        self._batches: deque[_Batch] = deque()
        self._stored: list[tuple[int, bytes]] = []
        self._marks: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._batches) + len(self._stored)

    @property
    def oldest_ms(self) -> int | None:
        """Newest event time of the oldest batch, epoch ms; None: the log is empty."""
        return self._batches[0].newest_event_ms if self._batches else None

    def append(self, blob: bytes, newest_event_ms: int, after: int) -> int:
        """Store a blob; its number is larger than every stored one and than `after`. Returns the number."""
        number = max(self._batches[-1].number if self._batches else -1, after) + 1
        self._remember_schema()
        self._log.put(number, blob)
        self._batches.append(_Batch(number, newest_event_ms, len(blob)))
        return number

    def mark_duplicates(self, number: int, fresh: npt.NDArray[np.bool_]) -> None:
        """Remember which events of a batch are duplicates; `fresh` is False for these, shape (n,)."""
        if not fresh.all():
            self._marks[number] = np.packbits(~fresh).tobytes()
            self._log.put(~number, self._marks[number])

    def restore(self) -> int:
        """Take over what the state holds; returns its bytes. `replay` then gives the events."""
        entries = list(self._log.items())
        self._stored = sorted((key, blob) for key, blob in entries if key >= 0)
        self._marks = {~key: marks for key, marks in entries if key < 0}
        return sum(len(blob) for _, blob in self._stored)

    def replay(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(batch number, events without duplicates) of everything that `restore` found, in order, once.

        Raises:
            PackingError: stored events do not fit the contract of today.
        """
        older = {key: pa.ipc.read_schema(pa.py_buffer(schema)) for key, schema in self._schemas.items()}
        stored, self._stored = self._stored, []
        time = self._schema.get_field_index(EVENT_TIME)
        for number, blob in stored:
            written = packing.fingerprint_of(blob)
            if written == self._fingerprint:
                events = packing.unpack_events(blob, self._schema)
            else:
                events = packing.conform(packing.unpack_events(blob, older[written]), self._schema)
            self._batches.append(_Batch(number, int(epoch_ms(events.column(time)).max()), len(blob)))
            yield number, self._without_duplicates(number, events)

    def prune(self, horizon_ms: int) -> int:
        """Remove batches from the front whose events are all before the horizon; returns the bytes freed."""
        freed = 0
        while self._batches and self._batches[0].newest_event_ms < horizon_ms:
            batch = self._batches.popleft()
            self._log.remove(batch.number)
            if self._marks.pop(batch.number, None) is not None:
                self._log.remove(~batch.number)
            freed += batch.size
        return freed

    def _without_duplicates(self, number: int, events: pa.RecordBatch) -> pa.RecordBatch:
        if number not in self._marks:
            return events
        marked = np.unpackbits(np.frombuffer(self._marks[number], np.uint8), count=events.num_rows)
        return filtered(events, marked == 0)

    def _remember_schema(self) -> None:
        if not self._knows_schema:
            self._schemas.put(self._fingerprint, self._schema.serialize().to_pybytes())
            self._knows_schema = True
