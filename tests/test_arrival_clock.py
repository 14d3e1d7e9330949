"""The arrival clock: follows the records while they come, the wall clock in silence."""

from __future__ import annotations

from operators.arrival_clock import ArrivalClock


def test_it_follows_the_records_and_never_an_older_one():
    clock = ArrivalClock()
    assert clock.read(5_000) == 0
    clock.hear(1_000, now_ms=5_000)
    clock.hear(900, now_ms=5_100)
    assert clock.read(5_100) == 1_000


def test_in_silence_it_runs_on_with_the_wall_clock():
    clock = ArrivalClock()
    clock.hear(1_000, now_ms=5_000)
    assert [clock.read(now) for now in (5_500, 5_501, 15_500)] == [1_000, 1_001, 11_000]


def test_in_a_backlog_that_is_read_slower_than_it_was_written_it_stays_with_the_records():
    clock = ArrivalClock()
    for step in range(100):
        clock.hear(step * 100, now_ms=1_000_000 + step * 400)
        assert clock.read(1_000_000 + step * 400 + 399) == step * 100
