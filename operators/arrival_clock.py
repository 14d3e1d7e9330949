"""The clock that live rows follow: arrival time, which runs on with the wall clock while the stream is silent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class ArrivalClock:
    """The arrival time that a record read now would have; one clock for all buckets of a subtask.

        arrival   10:00:00          10:00:07        (silence)
        wall      10:00:01  :02 :03 10:00:07.5  :08.5      :09.5
        clock     10:00:00  :01 :02 10:00:07    :08        :09

    It never runs back. When the consumer catches up from a backlog it follows the records, not the wall.
    """

    _arrival_ms: int = 0
    _set_at_ms: int = 0
    _heard_at_ms: int = 0

    def hear(self, arrival_ms: int, now_ms: int) -> None:
        """A record that arrived at the stream at `arrival_ms` was read at `now_ms` (wall clock), epoch ms."""
        self._heard_at_ms = max(self._heard_at_ms, now_ms)
        if arrival_ms > self.read(now_ms):
            self._arrival_ms, self._set_at_ms = arrival_ms, now_ms

    def read(self, now_ms: int) -> int:
        """The clock at `now_ms`; 0 before the first record."""
        return self._arrival_ms + max(0, now_ms - self._set_at_ms) if self._arrival_ms else 0

    def silent_for(self, now_ms: int) -> int:
        """Milliseconds since the last record; 0 before the first."""
        return max(0, now_ms - self._heard_at_ms) if self._heard_at_ms else 0
