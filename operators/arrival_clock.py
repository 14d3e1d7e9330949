"""The clock that live rows follow: arrival time, which runs on with the wall clock while the stream is silent."""

from __future__ import annotations

from dataclasses import dataclass

_PATIENCE_MS = 500  # records come in bursts; a shorter pause is no silence


@dataclass
class ArrivalClock:
    """The newest arrival time read, and in silence the time that has passed since; one clock for a subtask.

        arrival read   10:00:00     10:00:01     (silence)
        clock          10:00:00     10:00:01     :01   :01.5   :02.5   …

    While records come it follows them, however old they are: in a backlog a window has not ended before its records
    are read, and would be written again and again.
    """

    _arrival_ms: int = 0
    _heard_at_ms: int = 0

    def hear(self, arrival_ms: int, now_ms: int) -> None:
        """A record that arrived at the stream at `arrival_ms` was read at `now_ms` (wall clock), epoch ms."""
        self._arrival_ms = max(self._arrival_ms, arrival_ms)
        self._heard_at_ms = max(self._heard_at_ms, now_ms)

    def read(self, now_ms: int) -> int:
        """The clock at `now_ms`; 0 before the first record."""
        return self._arrival_ms + max(0, self.silent_for(now_ms) - _PATIENCE_MS) if self._arrival_ms else 0

    def silent_for(self, now_ms: int) -> int:
        """Milliseconds since the last record; 0 before the first."""
        return max(0, now_ms - self._heard_at_ms) if self._heard_at_ms else 0
