"""Dedup memory: exact while it remembers, and forgets as whole generations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.seen_ids import SeenIds

TTL = 600_000


def admit(seen: SeenIds, ids: list[int], at_ms: int = 0) -> list[bool]:
    high = np.array([i >> 2 for i in ids], np.uint64)  # four ids share an upper half
    low = np.array(ids, np.uint64)
    return seen.admit(high, low, at_ms, at_ms).tolist()


def test_the_first_of_equal_ids_is_fresh_within_a_batch_and_across_batches():
    seen = SeenIds(TTL)
    assert admit(seen, [8, 9, 8, 4]) == [True, True, False, True]
    assert admit(seen, [4, 5, 9]) == [False, True, False]


@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=40), max_size=30))
def test_any_sequence_of_batches_is_judged_as_a_set_would(batches: list[list[int]]):
    seen, known = SeenIds(TTL), set()
    for batch in batches:
        expected = []
        for i in batch:
            expected.append(i not in known)
            known.add(i)
        assert admit(seen, batch) == expected
    assert len(seen) == len(known)


@pytest.mark.parametrize(("clock", "remembered"), [(TTL - 1, True), (TTL, True), (TTL + 1, False)])
def test_an_id_is_kept_for_its_ttl_when_its_events_are_behind_the_horizon(clock: int, remembered: bool):
    seen = SeenIds(TTL)
    admit(seen, [1], at_ms=0)
    seen.forget(horizon_ms=1, arrival_clock_ms=clock)
    assert len(seen) == remembered


def test_an_id_is_kept_beyond_its_ttl_as_long_as_its_event_could_be_accepted_again():
    seen = SeenIds(TTL)
    admit(seen, [1], at_ms=5_000)
    seen.forget(horizon_ms=5_000, arrival_clock_ms=100 * TTL)
    assert admit(seen, [1], at_ms=5_000) == [False]


def test_memory_ends():
    seen = SeenIds(TTL)
    for minute in range(120):
        now = minute * 60_000
        admit(seen, list(range(minute * 100, minute * 100 + 100)), at_ms=now)
        seen.forget(horizon_ms=now - 420_000, arrival_clock_ms=now)
        assert len(seen) <= 100 * (TTL * 3 // 2 // 60_000 + 2)


def test_a_ttl_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        SeenIds(0)
