"""Slices: a window is the merge of its slices, in any order; a fold is its parts; codes can be renumbered."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import operators.slices
from operators import packing
from operators.interner import Interner
from operators.partials import Partial
from operators.slices import Slices, grid_groups
from operators.window_spec import Granularity, WindowSpec
from tests.bucket_harness import T0
from tests.delivered import CARD_VELOCITY, CONTRACT, CUSTOMER_SPEND

Event = tuple[int, str, int, str]  # (time, customer, cents, merchant)


def random_events(seed: int, count: int) -> list[Event]:
    rng = random.Random(seed)
    return [
        (T0 + rng.randrange(900_000), f"c{rng.randrange(9)}", rng.randrange(-99, 9_999), f"m{rng.randrange(6)}")
        for _ in range(count)
    ]


def batch_of(events: list[Event]) -> pa.RecordBatch:
    schema = packing.event_schema(CONTRACT)
    known = {
        "customer_id": pa.array([customer for _, customer, _, _ in events]),
        "merchant_id": pa.array([merchant for _, _, _, merchant in events]),
        "event_time": pa.array([at for at, *_ in events], pa.timestamp("ms", "UTC")),
        "amount": pa.array([cents for _, _, cents, _ in events]).cast(pa.decimal128(19, 0)),
    }
    scaled = pa.array([value.as_py().scaleb(-2) for value in known["amount"]], pa.decimal128(12, 2))
    columns = [scaled if f.name == "amount" else known.get(f.name, pa.nulls(len(events), f.type)) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def add(slices: Slices, customers: Interner, events: list[Event]) -> None:
    batch = batch_of(events)
    times = np.array([at for at, *_ in events], np.int64)
    slices.add(batch, times, customers.encode(batch.column(batch.schema.get_field_index("customer_id"))))


def plain(partial: Partial | None, customers: Interner) -> dict[str, tuple[int, ...]]:
    """Customer -> (all columns …, distinct counts …)."""
    if partial is None:
        return {}
    values = [*partial.columns, *partial.distinct_counts()]
    return {
        customers.values[code]: tuple(int(column[i]) for column in values)
        for i, code in enumerate(partial.codes.tolist())
    }


def rows_of(slices: Slices, customers: Interner, *wanted: tuple[int, int, Any]) -> list[dict[str, tuple[int, ...]]]:
    """Per window: customer -> (all columns …, distinct counts …)."""
    found: list[dict[str, tuple[int, ...]]] = [{} for _ in wanted]
    for numbers in slices.windows(wanted):
        values = [*numbers.columns, *numbers.counts]
        for i, (window, code) in enumerate(zip(numbers.window.tolist(), numbers.codes.tolist(), strict=True)):
            assert customers.values[code] not in found[window]
            found[window][customers.values[code]] = tuple(int(column[i]) for column in values)
    return found


def delivered() -> tuple[Slices, Interner]:
    customers = Interner()
    return Slices([CARD_VELOCITY, CUSTOMER_SPEND], 5_000, customers), customers


@pytest.mark.parametrize("seed", range(5))
def test_order_and_cuts_do_not_matter(seed: int):
    events = random_events(seed, 300)
    whole, names = delivered()
    add(whole, names, events)
    shuffled, other_names = delivered()
    random.Random(seed + 100).shuffle(events)
    for at in range(0, len(events), 17):
        add(shuffled, other_names, events[at : at + 17])
        shuffled.window(T0, T0 + 30_000)  # reading merges, and merging changes nothing
    for start in range(T0, T0 + 900_000, 30_000):
        got = plain(shuffled.window(start, start + 60_000), other_names)
        assert got == plain(whole.window(start, start + 60_000), names)


@pytest.mark.parametrize("seed", range(3))
def test_a_rollup_is_its_parts_before_and_after_folding_and_late_events_reach_the_folds(seed: int):
    events = random_events(seed, 400)
    slices, names = delivered()
    add(slices, names, events[:300])
    before = plain(slices.window(T0, T0 + 900_000), names)
    slices.fold(T0 + 600_000)
    assert plain(slices.window(T0, T0 + 900_000), names) == before
    add(slices, names, events[300:])
    slices.forget(before_ms=T0 + 400_000, folds_before_ms=0)
    fresh, fresh_names = delivered()
    add(fresh, fresh_names, events)
    for size in (60_000, 300_000, 900_000):
        for start in range(T0, T0 + 900_000, size):
            if start >= T0 + 400_000 or start + size <= T0 + 600_000 or size == 900_000:
                got = plain(slices.window(start, start + size), names)
                assert got == plain(fresh.window(start, start + size), fresh_names)


def test_some_customers_are_the_same_rows_as_in_all():
    slices, names = delivered()
    add(slices, names, random_events(1, 300))
    everything = plain(slices.window(T0, T0 + 300_000), names)
    some = np.array([0, 3, 5], np.int64)
    got = rows_of(slices, names, (T0, T0 + 300_000, some))[0]
    assert got == {name: row for name, row in everything.items() if name in {names.values[code] for code in some}}


@pytest.mark.parametrize("seed", range(3))
def test_many_windows_at_once_are_the_windows_one_by_one(seed: int, monkeypatch: pytest.MonkeyPatch):
    slices, names = delivered()
    add(slices, names, random_events(seed, 300))
    slices.fold(T0 + 300_000)
    rng = random.Random(seed)
    wanted = []
    for _ in range(60):
        start = T0 + rng.randrange(-6, 180) * 5_000
        some = np.flatnonzero([rng.random() < 0.5 for _ in range(12)])  # some of them customers that do not exist
        wanted.append((start, start + rng.choice([5_000, 30_000, 300_000]), rng.choice([None, some])))
    whole = [plain(slices.window(start, end), names) for start, end, _ in wanted]
    chosen = [None if some is None else {f"{names.values[c]}" for c in some if c < 9} for _, _, some in wanted]
    expected = [
        {name: row for name, row in rows.items() if some is None or name in some}
        for rows, some in zip(whole, chosen, strict=True)
    ]
    assert rows_of(slices, names, *wanted) == expected
    monkeypatch.setattr(operators.slices, "_READ_AT_ONCE", 10)
    assert rows_of(slices, names, *wanted) == expected


def test_renumbering_after_a_compaction_changes_no_row():
    slices, names = delivered()
    add(slices, names, [(T0, f"old{i}", 1, f"x{i}") for i in range(50)])
    add(slices, names, random_events(2, 200))
    slices.forget(before_ms=T0 + 5_000, folds_before_ms=0)
    before = plain(slices.window(T0 + 60_000, T0 + 900_000), names)
    used = names.used(slices.used_customers())
    slices.renumber(names.compact(used))
    assert plain(slices.window(T0 + 60_000, T0 + 900_000), names) == before
    assert not any(str(value).startswith("old") for value in names.values)


@pytest.mark.parametrize(("before_ms", "first_kept"), [(4_999, 0), (5_000, 5_000), (5_001, 5_000), (10_000, 10_000)])
def test_a_slice_is_forgotten_when_it_ends_at_or_before_the_horizon(before_ms: int, first_kept: int):
    slices, names = delivered()
    add(slices, names, [(T0 + start, "anna", 1, "m") for start in (0, 5_000, 10_000)])
    slices.forget(before_ms=T0 + before_ms, folds_before_ms=0)
    assert slices.bounds() == (T0 + first_kept, T0 + 15_000)


def test_windows_share_slices_unless_that_would_shorten_them():
    def hop(name: str, size: int, slide: int) -> WindowSpec:
        return WindowSpec(name, (Granularity(name, size),), slide, 0, None, (), ())

    groups = grid_groups([hop("a", 30_000, 5_000), hop("b", 60_000, 60_000), hop("c", 21_000, 7_000)])
    by_slice = defaultdict(set)
    for slice_ms, specs in groups:
        by_slice[slice_ms] |= {spec.name for spec in specs}
    assert by_slice == {5_000: {"a", "b"}, 7_000: {"c"}}
