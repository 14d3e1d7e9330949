"""Partial aggregates of many customers over one span of time, and how two spans become one.

A partial is a small table sorted by customer code. Merging is concatenate, sort, reduce: no Python runs per customer.

    codes      int64 (c,)        ascending, each once
    columns    one array (c,)    per component of the layout
    pairs      int64 (p,)        per distinct set: customer code << 32 | value code, ascending, each once
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.accumulators import EventColumns, Layout
from operators.interner import Interner

Codes = npt.NDArray[np.int64]

CODE_SHIFT = 32  # pairs hold the customer above, the value below; 2**31 customers and 2**32 values of one bucket
CODE_MASK = (1 << CODE_SHIFT) - 1


@dataclass(frozen=True)
class Partial:
    """Partial aggregates, see the module."""

    codes: Codes
    columns: tuple[npt.NDArray[Any], ...]
    pairs: tuple[Codes, ...]

    @cached_property
    def begins(self) -> tuple[Codes, ...]:
        """Per distinct set, where each customer's pairs begin, shape (c,)."""
        return tuple(pairs.searchsorted(self.codes << CODE_SHIFT) for pairs in self.pairs)

    def distinct_counts(self) -> list[Codes]:
        """Per distinct set, how many values each customer has, shape (c,)."""
        return [np.diff(begins, append=len(pairs)) for begins, pairs in zip(self.begins, self.pairs, strict=True)]

    def renumbered(self, customers: Codes, values: Sequence[Codes]) -> Partial:
        """The same partial after the interners were compacted; the tables map old codes to new ones, order kept."""
        pairs = tuple(
            (customers[pairs >> CODE_SHIFT] << CODE_SHIFT) | table[pairs & CODE_MASK]
            for pairs, table in zip(self.pairs, values, strict=True)
        )
        return Partial(customers[self.codes], self.columns, pairs)


@dataclass(frozen=True)
class WindowNumbers:
    """Aggregates of several windows, a row for each window and customer, sorted by both; n rows.

    Attributes:
        window: which of the windows, shape (n,).
        codes: customer, shape (n,).
        columns: one array (n,) per component of the layout.
        counts: per distinct set, how many values, shape (n,).
    """

    window: Codes
    codes: Codes
    columns: tuple[npt.NDArray[Any], ...]
    counts: tuple[Codes, ...]

    def where(self, mask: npt.NDArray[np.bool_]) -> WindowNumbers:
        """The rows for which the mask is True."""
        if mask.all():
            return self
        columns, counts = (tuple(array[mask] for array in arrays) for arrays in (self.columns, self.counts))
        return WindowNumbers(self.window[mask], self.codes[mask], columns, counts)


def merge(partials: Sequence[Partial], layout: Layout) -> Partial:
    """One partial over the spans of all; at least one."""
    if len(partials) == 1:
        return partials[0]
    codes = np.concatenate([partial.codes for partial in partials])
    order = np.argsort(codes, kind="stable")
    codes = codes[order]
    starts = _group_starts(codes)
    columns = tuple(
        component.merge.reduceat(np.concatenate([partial.columns[i] for partial in partials])[order], starts)
        for i, component in enumerate(layout.components)
    )
    pairs = tuple(
        _unique(np.concatenate([partial.pairs[i] for partial in partials])) for i in range(len(layout.distincts))
    )
    return Partial(codes[starts], columns, pairs)


def merge_windows(
    wanted: Sequence[tuple[int, Sequence[Partial], Codes | None]], layout: Layout
) -> WindowNumbers | None:
    """Many windows at once, since each call into NumPy costs as much as a thousand rows; None: no row.

    Args:
        wanted: (number of the window, its parts, customers as ascending codes or None for all), numbers ascending.
        layout: of the parts; windows may share them.
    """
    parts = list({id(part): part for _, cover, _ in wanted for part in cover}.values())
    if not parts:
        return None
    place = {id(part): at for at, part in enumerate(parts)}
    lengths = np.array([len(part.codes) for part in parts])
    codes = np.concatenate([part.codes for part in parts])
    keys = _keys(np.arange(len(parts)).repeat(lengths), codes)  # ascending
    ends = lengths.cumsum().tolist()
    reads = [
        (number, keys[ends[at] - len(part.codes) : ends[at]] if customers is None else _keys(at, customers))
        for number, cover, customers in wanted
        for part in cover
        for at in (place[id(part)],)
    ]
    sought = np.concatenate([read for _, read in reads])
    window = np.repeat([number for number, _ in reads], [len(read) for _, read in reads])
    at = keys.searchsorted(sought)
    at[at == len(keys)] = 0
    found = keys[at] == sought
    at, window = at[found], window[found]
    if not len(at):
        return None
    rows = _keys(window, codes[at])
    order = rows.argsort(kind="stable")
    at, rows = at[order], rows[order]
    starts = _group_starts(rows)
    columns = tuple(
        component.merge.reduceat(np.concatenate([part.columns[i] for part in parts])[at], starts)
        for i, component in enumerate(layout.components)
    )
    row = np.arange(len(starts)).repeat(np.diff(starts, append=len(at)))
    counts = tuple(_distinct_counts(parts, i, at, row) for i in range(len(layout.distincts)))
    return WindowNumbers(window[order][starts], codes[at[starts]], columns, counts)


def _distinct_counts(parts: Sequence[Partial], distinct: int, at: Codes, row: Codes) -> Codes:
    """How many values each row has; rows `at` of the parts, one after the other, are merged into `row`, ascending."""
    pairs = np.concatenate([part.pairs[distinct] for part in parts])
    before = np.cumsum([0, *(len(part.pairs[distinct]) for part in parts)])
    begins = [part.begins[distinct] + start for part, start in zip(parts, before[:-1].tolist(), strict=True)]
    bounds = np.concatenate([*begins, before[-1:]])
    lengths = bounds[at + 1] - bounds[at]
    ends = lengths.cumsum()
    members = pairs[(bounds[at] - ends + lengths).repeat(lengths) + np.arange(ends[-1])]
    values = _unique(_keys(row.repeat(lengths), members & CODE_MASK))
    return np.bincount(values >> CODE_SHIFT, minlength=int(row[-1]) + 1)


def _keys(above: Codes | int, below: Codes) -> Codes:
    """Two small numbers as one that sorts by both."""
    return (above << CODE_SHIFT) | below


def from_events(
    events: EventColumns, slices: Codes, customers: Codes, layout: Layout, values: Sequence[Interner]
) -> Iterator[tuple[int, Partial]]:
    """The events of one batch as (slice number, partial), a partial for each slice that they touch.

    Args:
        events: the batch, n events, n > 0.
        slices: slice number of each event, shape (n,).
        customers: customer code of each event, shape (n,).
        layout: the columns to make.
        values: per distinct set, the codes of its values.
    """
    first = int(slices.min())
    relative = slices - first
    keys = (relative << CODE_SHIFT) | customers
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = _group_starts(keys)
    columns = [c.merge.reduceat(events.values(c)[order], starts) for c in layout.components]
    groups = keys[starts]
    spans = groups >> CODE_SHIFT
    codes = groups & CODE_MASK
    pairs = [
        _slice_pairs(events.distinct(d), relative, customers, v) for d, v in zip(layout.distincts, values, strict=True)
    ]
    begins = _group_starts(spans)
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(spans)], strict=True):
        span = int(spans[begin])
        yield (
            first + span,
            Partial(
                codes[begin:end],
                tuple(column[begin:end] for column in columns),
                tuple(pair[slice(*np.searchsorted(of, (span, span + 1)))] for of, pair in pairs),
            ),
        )


def _slice_pairs(
    distinct: tuple[npt.NDArray[np.bool_] | None, Any], relative: Codes, customers: Codes, values: Interner
) -> tuple[Codes, Codes]:
    """(relative slice, pair) of each distinct pair, sorted by slice and pair."""
    mask, column = distinct
    spans, owners = (relative, customers) if mask is None else (relative[mask], customers[mask])
    pairs = (owners << CODE_SHIFT) | values.encode(column)
    order = np.lexsort((pairs, spans))
    spans, pairs = spans[order], pairs[order]
    kept = np.ones(len(pairs), np.bool_)
    kept[1:] = (pairs[1:] != pairs[:-1]) | (spans[1:] != spans[:-1])
    return spans[kept], pairs[kept]


def _group_starts(keys: Codes) -> Codes:
    return np.concatenate((np.zeros(1, np.int64), np.flatnonzero(keys[1:] != keys[:-1]) + 1))


def _unique(pairs: Codes) -> Codes:
    pairs.sort(kind="stable")  # the parts are sorted, and the stable sort merges sorted runs in linear time
    kept = np.ones(len(pairs), np.bool_)
    kept[1:] = pairs[1:] != pairs[:-1]
    return pairs[kept]
