"""The keyed state of one customer bucket, as the pure logic sees it.

log       batch number -> blob      the accepted events as they came, see `operators.packing`
schemas   fingerprint -> schema     how to read blobs written under an older contract
progress  64 bytes                  what has been promised so far
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol


class Log(Protocol):
    """Keyed map state: Flink's MapState, or a dictionary in tests."""

    def put(self, key: int, value: bytes) -> None: ...
    def remove(self, key: int) -> None: ...
    def items(self) -> Iterable[tuple[int, bytes]]: ...


class Cell(Protocol):
    """One value: an entry of a map state, or a field in tests."""

    def value(self) -> bytes | None: ...
    def update(self, value: bytes) -> None: ...


@dataclass
class Progress:
    """What a bucket has promised so far; its state, 64 bytes.

    Attributes:
        counted_batch: batches of the log up to this number are counted (-1: none).
        final_until: windows that end at or before it are final, epoch ms.
        closed_until: events before it are rejected as window_closed, epoch ms.
        arrival: the newest arrival counted, epoch ms.
        counted, duplicate, window_closed: events since the last account row.
        buckets: number of buckets that the state was written with (0: not known).
    """

    counted_batch: int = -1
    final_until: int = 0
    closed_until: int = 0
    arrival: int = 0
    counted: int = 0
    duplicate: int = 0
    window_closed: int = 0
    buckets: int = 0

    _FORMAT: ClassVar[struct.Struct] = struct.Struct("<8q")

    def to_bytes(self) -> bytes:
        """64 bytes, little-endian."""
        return self._FORMAT.pack(
            self.counted_batch, self.final_until, self.closed_until, self.arrival,
            self.counted, self.duplicate, self.window_closed, self.buckets,
        )  # fmt: skip

    @classmethod
    def from_bytes(cls, stored: bytes) -> Progress:
        """The inverse of `to_bytes`."""
        return cls(*cls._FORMAT.unpack(stored))


@dataclass(frozen=True)
class BucketState:
    """The three states of a bucket together; in Flink, handles that mean the current key."""

    log: Log
    schemas: Log
    progress: Cell
