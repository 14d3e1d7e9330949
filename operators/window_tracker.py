"""Which window rows are due: the books of one window file in one bucket. No aggregates here, only time and customers.

             final_until          live_until      arrival clock
──── final ──────┤──── written live ──────┤─── ended, due ──┤──── open ────►   window ends

a window end passes the arrival clock   → all its customers are due, once
an event is counted in an ended window  → its customers are due again (corrected), once per tick
`emit: EVERY …`                         → open windows are due too, for the customers that changed
the watermark passes the window end     → all its customers are due as final rows, once
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from operators.partials import Codes
from operators.window_spec import Granularity, WindowSpec

Changes = dict[int, list[Codes]]  # slice start -> customers, by batch
Due = tuple[Granularity, int, Codes | None]  # (granularity, window end, customers; None: all)


@dataclass(frozen=True)
class Grid:
    """The window ends of one granularity: `end = offset + k * slide`, windows are [end - size, end)."""

    granularity: Granularity
    slide_ms: int
    offset_ms: int

    def ends_between(self, after: int, until: int) -> range:
        """Window ends in (after, until]."""
        first = (after - self.offset_ms) // self.slide_ms * self.slide_ms + self.offset_ms + self.slide_ms
        return range(first, until + 1, self.slide_ms)

    def ends_over(self, start: int, end: int) -> range:
        """Ends of the windows that contain the slice [start, end)."""
        return self.ends_between(end - 1, start + self.granularity.size_ms)


def grids(spec: WindowSpec) -> tuple[Grid, ...]:
    """One grid per granularity; the larger ones of a rollup tumble."""
    first, *rest = spec.granularities
    own = Grid(first, spec.slide_ms, (spec.offset_ms + first.size_ms) % spec.slide_ms)
    return (own, *(Grid(g, g.size_ms, spec.offset_ms % g.size_ms) for g in rest))


@dataclass
class WindowTracker:
    """See the module.

    Attributes:
        spec: the window file.
        slice_ms: length of the slices that report changes.
        live_until: windows that end at or before it have been written live.
        writes_live: whether anybody wants live rows.
    """

    spec: WindowSpec
    slice_ms: int
    live_until: int
    writes_live: bool = True
    grids: tuple[Grid, ...] = field(init=False)
    _changed: Changes = field(default_factory=dict)  # since the last tick
    _unshown: Changes = field(default_factory=dict)  # since the last early step; only with `emit: EVERY …`
    _early_step: int = 0

    def __post_init__(self) -> None:
        self.grids = grids(self.spec)

    @property
    def has_live_rows(self) -> bool:
        """A live row cannot be taken back, so HAVING writes final rows only."""
        return self.writes_live and self.spec.having is None

    @property
    def has_changes(self) -> bool:
        """Whether an event has come since the last tick."""
        return bool(self._changed)

    def changed(self, slice_start: int, customers: Codes) -> None:
        """Some customers of a slice have counted another event."""
        if self.has_live_rows and len(customers):
            self._changed.setdefault(slice_start, []).append(customers)
            if self.spec.emit_every_ms is not None:
                self._unshown.setdefault(slice_start, []).append(customers)

    def restored(self) -> None:
        """All changes so far came out of the event log: what had been final then stays as it was written."""
        self._changed.clear()

    def due_live(self, clock: int, bounds: tuple[int, int]) -> Iterator[Due]:
        """Windows whose rows are to be written now; afterwards they count as written.

        Args:
            clock: the arrival clock, epoch ms.
            bounds: first and last moment that the slices cover.
        """
        written_until = self.live_until
        self.live_until = max(written_until, clock)
        changed, self._changed = self._changed, {}
        yield from self._containing(changed, lambda end: end <= written_until)
        if self.spec.emit_every_ms is not None:
            yield from self._due_early(self.spec.emit_every_ms, written_until, clock, bounds)
            return
        for grid in self.grids:
            for end in _within(grid, written_until, clock, bounds):
                yield grid.granularity, end, None

    def next_end(self, after: int, bounds: tuple[int, int]) -> int | None:
        """The earliest window end after `after` of a window that the slices reach into."""
        ends = [
            candidates[0]
            for grid in self.grids
            if (candidates := _within(grid, after, bounds[1] + grid.granularity.size_ms, bounds))
        ]
        return min(ends, default=None)

    def next_early_step(self, clock: int) -> int | None:
        """When changes of windows that are still open are to be written; None: there are none."""
        every = self.spec.emit_every_ms
        return None if every is None or not self._unshown else (clock // every + 1) * every

    def due_final(self, after: int, until: int, bounds: tuple[int, int]) -> Iterator[Due]:
        """Windows with after < end <= until."""
        for grid in self.grids:
            for end in _within(grid, after, until, bounds):
                yield grid.granularity, end, None

    def reopened(self, touched: Changes, final_until: int) -> Iterator[Due]:
        """Windows that were final and have counted another event since."""
        yield from self._containing(touched, lambda end: end <= final_until)

    def renumber(self, customers: Codes) -> None:
        """Take over new customer codes."""
        for changes in (self._changed, self._unshown):
            for parts in changes.values():
                parts[:] = [customers[codes] for codes in parts]

    def _due_early(self, every_ms: int, written_until: int, clock: int, bounds: tuple[int, int]) -> Iterator[Due]:
        """Windows not written as ended yet: at each step, and when one ends, for the customers that have changed."""
        ended = any(_within(grid, written_until, clock, bounds) for grid in self.grids)
        if ended or clock // every_ms != self._early_step:
            self._early_step = clock // every_ms
            unshown, self._unshown = self._unshown, {}
            yield from self._containing(unshown, lambda end: end > written_until)

    def _containing(self, changes: Changes, wanted: Callable[[int], bool]) -> Iterator[Due]:
        """The wanted windows (by their end) that contain a changed slice, with the customers that changed."""
        for grid in self.grids:
            customers: Changes = {}
            for start, parts in changes.items():
                for end in grid.ends_over(start, start + self.slice_ms):
                    if wanted(end):
                        customers.setdefault(end, []).extend(parts)
            for end, parts in sorted(customers.items()):
                yield grid.granularity, end, parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))


def _within(grid: Grid, after: int, until: int, bounds: tuple[int, int]) -> range:
    """Window ends in (after, until] of windows that the slices reach into."""
    first, last = bounds
    return grid.ends_between(max(after, first), min(until, last + grid.granularity.size_ms - 1))
