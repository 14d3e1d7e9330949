"""The slices of one bucket: partial aggregates per span of time, shared by all windows on the same grid.

      slices of 5 s        |--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|--|        events are added here
      a 30 s window                    [                 )                                merges six slices
      folded minutes       |-----------------------------------|                          made when the minute is final,
      folded 5 minutes     |---------------- … ----------------|                          likewise, from the minutes
      a 15 min window      [ folded 5 min | folded 5 min | folded min | … | slices )      the largest parts there are

A span's new parts wait in a list and are merged when somebody reads it. An event that comes after its minute was folded
(behind the watermark, inside the grace) is added to the slice and to every fold above it: a fold is always its parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from operators.accumulators import EventColumns, Layout
from operators.expressions import Expression
from operators.interner import Interner
from operators.partials import CODE_MASK, Codes, Partial, WindowNumbers, from_events, merge, merge_windows
from operators.window_spec import WindowSpec

Touched = list[tuple[int, Partial]]

_READ_AT_ONCE = 32_768  # rows of slices: enough that calls into NumPy cost little, and the rows made of them can travel


@dataclass
class _Span:
    """One slice or fold: its parts, merged when read."""

    parts: list[Partial]

    def merged(self, layout: Layout) -> Partial:
        if len(self.parts) > 1:
            self.parts = [merge(self.parts, layout)]
        return self.parts[0]


class Slices:
    """Partial aggregates of one bucket for a group of windows on one grid.

    Args:
        specs: the windows, all multiples of `slice_ms`, with the same offset against it.
        slice_ms: length of a slice, milliseconds.
        customers: the bucket's customer codes, shared with its other groups.
    """

    def __init__(self, specs: Sequence[WindowSpec], slice_ms: int, customers: Interner) -> None:
        self.specs = tuple(specs)
        self.layout = Layout.of(specs)
        self.slice_ms = slice_ms
        self.offset_ms = specs[0].offset_ms % slice_ms
        self._customers = customers
        self._values = [Interner() for _ in self.layout.distincts]
        self._compiled: dict[Expression, Callable[[list[pa.Array], int], pa.Array]] = {}
        rollups = {(g.size_ms, spec.offset_ms % g.size_ms) for spec in specs for g in spec.granularities[:-1]}
        self._fold_levels = sorted(rollups)
        self._slices: dict[int, _Span] = {}  # by start, epoch milliseconds
        self._folds: dict[tuple[int, int], dict[int, _Span]] = {level: {} for level in self._fold_levels}
        self._bounds: tuple[int, int] | None = None  # of the slices, if it is known

    def add(self, batch: pa.RecordBatch, event_times: Codes, customers: Codes) -> Touched:
        """Count a batch of accepted events.

        Args:
            batch: columns of the contract, n events, n > 0.
            event_times: epoch milliseconds, shape (n,).
            customers: customer codes, shape (n,).

        Returns:
            (slice start, partial of the batch) for each slice touched.
        """
        self._bounds = None
        numbers = (event_times - self.offset_ms) // self.slice_ms
        events = EventColumns(batch, self._compiled)
        touched = []
        for number, partial in from_events(events, numbers, customers, self.layout, self._values):
            start = number * self.slice_ms + self.offset_ms
            self._append(self._slices, start, partial)
            for (size, offset), folds in self._folds.items():
                fold = folds.get(_floor(start, size, offset))
                if fold is not None:
                    fold.parts.append(partial)
            touched.append((start, partial))
        return touched

    def window(self, start: int, end: int) -> Partial | None:
        """The partial of all customers over the half-open window [start, end), epoch ms; None: no event."""
        parts = self._cover(start, end)
        return merge(parts, self.layout) if parts else None

    def windows(self, wanted: Iterable[tuple[int, int, Codes | None]]) -> Iterator[WindowNumbers]:
        """The numbers of many windows, in portions.

        Args:
            wanted: (start, end, customers or None for all), the window [start, end) in epoch ms. Rows say which by
                its position.
        """
        portion, rows = [], 0
        for number, (start, end, customers) in enumerate(wanted):
            cover = self._cover(start, end)
            portion.append((number, cover, customers))
            rows += sum(len(part.codes) for part in cover) if customers is None else len(cover) * len(customers)
            if rows >= _READ_AT_ONCE:
                yield from _numbers(portion, self.layout)
                portion, rows = [], 0
        yield from _numbers(portion, self.layout)

    def fold(self, final_ms: int) -> None:
        """Merge what will be read as a whole from now on: every rollup part that ends at or before `final_ms`."""
        for size, offset in self._fold_levels:
            folds = self._folds[size, offset]
            starts = {_floor(start, size, offset) for start in self._slices} - folds.keys()
            for start in sorted(s for s in starts if s + size <= final_ms):
                merged = self.window(start, start + size)
                if merged is not None:
                    folds[start] = _Span([merged])

    def forget(self, before_ms: int, folds_before_ms: int) -> None:
        """Drop the slices that end at or before `before_ms` (read as folds from now on), and older folds."""
        self._bounds = None
        self._slices = {start: span for start, span in self._slices.items() if start + self.slice_ms > before_ms}
        for (size, _), folds in self._folds.items():
            for start in [s for s in folds if s + size <= folds_before_ms]:
                del folds[start]

    def bounds(self) -> tuple[int, int] | None:
        """Start of the first span (slice or fold) and end of the last, epoch ms; None: empty."""
        levels = [(self._slices, self.slice_ms), *((folds, size) for (size, _), folds in self._folds.items())]
        found = [(min(spans), max(spans) + length) for spans, length in levels if spans]
        return (min(first for first, _ in found), max(last for _, last in found)) if found else None

    def used_customers(self) -> Iterable[Codes]:
        """Customer codes that some span still holds."""
        return (part.codes for span in self._spans() for part in span.parts)

    def renumber(self, customers: Codes) -> None:
        """Take over the new customer codes after a compaction, and compact the distinct values likewise."""
        tables = [
            values.compact(values.used(part.pairs[i] & CODE_MASK for span in self._spans() for part in span.parts))
            for i, values in enumerate(self._values)
        ]
        for span in self._spans():
            span.parts = [part.renumbered(customers, tables) for part in span.parts]

    def __len__(self) -> int:
        return len(self._slices) + sum(len(folds) for folds in self._folds.values())

    def _spans(self) -> Iterable[_Span]:
        yield from self._slices.values()
        for folds in self._folds.values():
            yield from folds.values()

    def _cover(self, start: int, end: int) -> list[Partial]:
        """The fewest spans that make up [start, end), largest first at every point."""
        spans = []
        while start < end:
            for size, offset in reversed(self._fold_levels):
                if start + size <= end and (start - offset) % size == 0 and start in self._folds[size, offset]:
                    spans.append(self._folds[size, offset][start])
                    start += size
                    break
            else:
                if start in self._slices:
                    spans.append(self._slices[start])
                start += self.slice_ms
        return [span.merged(self.layout) for span in spans]

    @staticmethod
    def _append(spans: dict[int, _Span], start: int, partial: Partial) -> None:
        span = spans.get(start)
        if span is None:
            spans[start] = _Span([partial])
        else:
            span.parts.append(partial)


def _numbers(wanted: Sequence[tuple[int, Sequence[Partial], Codes | None]], layout: Layout) -> Iterator[WindowNumbers]:
    numbers = merge_windows(wanted, layout)
    if numbers is not None:
        yield numbers


def _floor(start: int, size: int, offset: int) -> int:
    return (start - offset) // size * size + offset


def grid_groups(specs: Sequence[WindowSpec]) -> list[tuple[int, list[WindowSpec]]]:
    """Windows that can share slices, as (slice length in ms, windows).

    A window joins a group where the shared slice is no shorter than the shorter of the two: a 7 s slide does not cut
    everybody's slices down to 1 s.
    """
    groups: list[tuple[int, list[WindowSpec]]] = []
    for spec in sorted(specs, key=_own_slice):
        own = _own_slice(spec)
        for slice_ms, members in groups:
            if own % slice_ms == 0 and (spec.offset_ms - members[0].offset_ms) % slice_ms == 0:
                members.append(spec)
                break
        else:
            groups.append((own, [spec]))
    return groups


def _own_slice(spec: WindowSpec) -> int:
    return math.gcd(spec.slide_ms, *(granularity.size_ms for granularity in spec.granularities))
