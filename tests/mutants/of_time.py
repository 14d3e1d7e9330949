"""Bugs in when a row is written: window edges, watermark, silence, corrections."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_BUCKET = ("tests/test_feature_bucket.py",)

MUTANTS = (
    Mutant(
        name="slide-off-by-one",
        file="operators/window_tracker.py",
        old="return range(first, until + 1, self.slide_ms)",
        new="return range(first, until, self.slide_ms)",
        law="4: a window that ends exactly now is not written",
        killers=_BUCKET,
    ),
    Mutant(
        name="event-at-the-end-in-the-ended-window",
        file="operators/slices.py",
        old="(event_times - self.offset_ms) // self.slice_ms",
        new="(event_times - self.offset_ms - 1) // self.slice_ms",
        law="7: windows are half-open",
        killers=_BUCKET,
    ),
    Mutant(
        name="final-a-millisecond-early",
        file="operators/feature_bucket.py",
        old="self._finalise(watermark + 1, now_ms)",
        new="self._finalise(watermark + 2, now_ms)",
        law="3: a window is final while an event exactly L late may come",
        killers=_BUCKET,
    ),
    Mutant(
        name="final-a-millisecond-late",
        file="operators/feature_bucket.py",
        old="self._finalise(watermark + 1, now_ms)",
        new="self._finalise(watermark, now_ms)",
        law="3: the event timer fires and the window is not final",
        killers=_BUCKET,
    ),
    Mutant(
        name="silence-makes-final-too-early",
        file="operators/feature_bucket.py",
        old="self._finalise(clock - idle, now_ms)",
        new="self._finalise(clock, now_ms)",
        law="3: final rows before a late event can have come",
        killers=_BUCKET,
    ),
    Mutant(
        name="short-silence-is-enough",
        file="operators/feature_bucket.py",
        old="self._clock.silent_for(now_ms) >= idle:",
        new="self._clock.silent_for(now_ms) >= 0:",
        law="3: windows become final by the clock while records come",
        killers=_BUCKET,
    ),
    Mutant(
        name="correction-not-written",
        file="operators/window_tracker.py",
        old="yield from self._containing(changed, lambda end: end <= written_until)",
        new="yield from ()",
        law="4: a live row stays as it was after a late event",
        killers=_BUCKET,
    ),
    Mutant(
        name="unchanged-rows-written-again",
        file="operators/window_tracker.py",
        old="self.live_until = max(written_until, clock)",
        new="self.live_until = written_until",
        law="cost: every ended row is written at every tick",
        killers=(f"{_BUCKET[0]}::test_a_live_row_appears_at_window_end_and_again_only_when_it_changed",),
    ),
    Mutant(
        name="old-rows-written-after-a-restore",
        file="operators/window_tracker.py",
        old="self._changed.clear()",
        new="pass",
        law="cost: after a restore all final rows go to the features table again",
        killers=_BUCKET,
    ),
    Mutant(
        name="reopened-row-not-issued",
        file="operators/feature_bucket.py",
        old="exits = list(self._reissue(changes))",
        new="exits = []",
        law="3: a final row lacks an event that was counted inside the grace",
        killers=_BUCKET,
    ),
    Mutant(
        name="live-rows-of-a-having",
        file="operators/window_tracker.py",
        old="return self.writes_live and self.spec.having is None",
        new="return self.writes_live",
        law="4: a live row that HAVING takes back stays in the table",
        killers=("tests/test_feature_rows.py",),
    ),
    Mutant(
        name="arrival-clock-goes-back",
        file="operators/arrival_clock.py",
        old="self._arrival_ms = max(self._arrival_ms, arrival_ms)",
        new="self._arrival_ms = arrival_ms",
        law="4: an older record takes the clock back",
        killers=("tests/test_arrival_clock.py",),
    ),
    Mutant(
        name="tick-forgotten-in-silence",
        file="operators/feature_bucket.py",
        old="waits = [end - clock for end in self._next_ends(live=True)]",
        new="waits = []",
        law="4: the last rows of the day wait for the next payment",
        killers=_BUCKET,
    ),
)
