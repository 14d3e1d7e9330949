"""Which event ids were seen: the dedup memory of one bucket.

    generation 0        generation 1        generation 2 (open)
    [ run | run ]       [ run | run ]       [ run | run | run ]      each run: ids sorted, NumPy
    └─ forgotten as a whole when its newest event is behind both the closed horizon and the TTL

Keyed by      nothing: one object per bucket, rebuilt from the bucket's event log after a restore
State         16 bytes an id
TTL           an id is kept at least `ttl_ms` after its arrival, and at least until its event time is behind the closed
              horizon, from where on the gate or the bucket rejects a resend anyway
Cleared when  `forget` is called, which the bucket does whenever its horizon moves
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]

_GROWTH = (
    8  # a run is merged into the one before it once that is less than this many times longer: few runs, few copies
)


@dataclass
class _Run:
    high: UInt64s
    low: UInt64s

    def contains(self, high: UInt64s, low: UInt64s) -> npt.NDArray[np.bool_]:
        """Which of the ids are in the run, shape (n,)."""
        at = np.searchsorted(self.high, high)
        at[at == len(self.high)] = 0
        candidate: npt.NDArray[np.bool_] = self.high[at] == high
        if not candidate.any():
            return candidate
        found: npt.NDArray[np.bool_] = candidate & (self.low[at] == low)
        for i in np.flatnonzero(candidate & ~found).tolist():  # another id with the same upper half: once in an age
            end = np.searchsorted(self.high, high[i], side="right")
            found[i] = bool((self.low[at[i] : end] == low[i]).any())
        return found


@dataclass
class _Generation:
    runs: list[_Run] = field(default_factory=list)
    first_arrival_ms: int = 0
    newest_arrival_ms: int = 0
    newest_event_ms: int = 0

    def add(self, run: _Run) -> None:
        self.runs.append(run)
        while len(self.runs) > 1 and len(self.runs[-2].high) < _GROWTH * len(self.runs[-1].high):
            newer, older = self.runs.pop(), self.runs.pop()
            high = np.concatenate((older.high, newer.high))
            order = np.argsort(high, kind="stable")
            self.runs.append(_Run(high[order], np.concatenate((older.low, newer.low))[order]))


class SeenIds:
    """Exact duplicate detection over 128-bit ids.

    Args:
        ttl_ms: how long after its arrival an id is remembered at the least.
    """

    def __init__(self, ttl_ms: int) -> None:
        if ttl_ms <= 0:
            raise ValueError(f"the dedup TTL must be positive, got {ttl_ms} ms")
        self._ttl_ms = ttl_ms
        self._generations: list[_Generation] = []

    def __len__(self) -> int:
        return sum(len(run.high) for generation in self._generations for run in generation.runs)

    def admit(self, high: UInt64s, low: UInt64s, newest_event_ms: int, newest_arrival_ms: int) -> npt.NDArray[np.bool_]:
        """True for each id that is met for the first time, shape (n,); these are remembered from now on.

        Args:
            high: the upper halves of the ids of a batch, in the order of arrival, shape (n,).
            low: the lower halves, shape (n,).
            newest_event_ms: newest event time of the batch, epoch milliseconds; with it the ids may be forgotten.
            newest_arrival_ms: newest arrival time of the batch, likewise.
        """
        order = np.lexsort((low, high))
        high, low = high[order], low[order]
        fresh = np.ones(len(high), dtype=np.bool_)
        fresh[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        for generation in self._generations:
            for run in generation.runs:
                fresh &= ~run.contains(high, low)
        if fresh.any():
            generation = self._open_generation(newest_event_ms, newest_arrival_ms)
            generation.add(_Run(high[fresh], low[fresh]))
        mask = np.empty_like(fresh)
        mask[order] = fresh
        return mask

    def forget(self, horizon_ms: int, arrival_clock_ms: int) -> None:
        """Drop the generations of which no resend can be accepted any more.

        Args:
            horizon_ms: events before this event time are rejected as window_closed.
            arrival_clock_ms: the newest arrival time seen.
        """
        bound = arrival_clock_ms - self._ttl_ms
        self._generations = [
            g for g in self._generations if g.newest_event_ms >= horizon_ms or g.newest_arrival_ms >= bound
        ]

    def _open_generation(self, newest_event_ms: int, newest_arrival_ms: int) -> _Generation:
        last = self._generations[-1] if self._generations else None
        if last is None or newest_arrival_ms - last.first_arrival_ms > self._ttl_ms // 2:
            last = _Generation([], newest_arrival_ms, newest_arrival_ms, newest_event_ms)
            self._generations.append(last)
        last.newest_arrival_ms = max(last.newest_arrival_ms, newest_arrival_ms)
        last.newest_event_ms = max(last.newest_event_ms, newest_event_ms)
        return last
