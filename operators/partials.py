"""Partial aggregates of many customers over one span of time, and how two spans become one.

A partial is a small table sorted by customer code. Merging is concatenate, sort, reduce: no Python runs per customer.

    codes      int64 (c,)        ascending, each once
    columns    one array (c,)    per component of the layout
    pairs      int64 (p,)        per distinct set: customer code << 32 | value code, ascending, each once
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.accumulators import EventColumns, Layout
from operators.interner import Interner

Codes = npt.NDArray[np.int64]

CODE_SHIFT = 32  # pairs hold the customer above, the value below; 2**31 customers and 2**32 values of one bucket


@dataclass(frozen=True)
class Partial:
    """Partial aggregates, see the module."""

    codes: Codes
    columns: tuple[npt.NDArray[Any], ...]
    pairs: tuple[Codes, ...]

    def of(self, customers: Codes) -> Partial:
        """The rows of some customers (ascending codes, each once)."""
        kept = _found(self.codes, customers)
        codes = self.codes[kept]
        pairs = tuple(_pairs_of(pairs, codes) for pairs in self.pairs)
        return Partial(codes, tuple(column[kept] for column in self.columns), pairs)

    def where(self, mask: npt.NDArray[np.bool_]) -> Partial:
        """The rows for which the mask is True."""
        if mask.all():
            return self
        codes = self.codes[mask]
        pairs = tuple(_pairs_of(pairs, codes) for pairs in self.pairs)
        return Partial(codes, tuple(column[mask] for column in self.columns), pairs)

    def distinct_counts(self) -> list[Codes]:
        """Per distinct set, how many values each customer has, shape (c,)."""
        return [
            np.diff(np.searchsorted(pairs, _edges(self.codes))) if len(self.codes) else self.codes
            for pairs in self.pairs
        ]

    def renumbered(self, customers: Codes, values: Sequence[Codes]) -> Partial:
        """The same partial after the interners were compacted; the tables map old codes to new ones, order kept."""
        low = (1 << CODE_SHIFT) - 1
        pairs = tuple(
            (customers[pairs >> CODE_SHIFT] << CODE_SHIFT) | table[pairs & low]
            for pairs, table in zip(self.pairs, values, strict=True)
        )
        return Partial(customers[self.codes], self.columns, pairs)


def _edges(codes: Codes) -> Codes:
    """Where each customer's pairs begin, and where the last one's end."""
    return np.append(codes, codes[-1] + 1) << CODE_SHIFT


def _found(codes: Codes, customers: Codes) -> Codes:
    at = np.searchsorted(codes, customers)
    at[at == len(codes)] = 0
    return at[codes[at] == customers] if len(codes) else at[:0]


def _pairs_of(pairs: Codes, codes: Codes) -> Codes:
    starts = np.searchsorted(pairs, codes << CODE_SHIFT)
    lengths = np.searchsorted(pairs, (codes + 1) << CODE_SHIFT) - starts
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    found: Codes = pairs[np.repeat(starts - ends + lengths, lengths) + np.arange(total)]
    return found


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
    codes = groups & ((1 << CODE_SHIFT) - 1)
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
