"""The operator's shell: which timers it registers, which exit a row takes. The test plays Flink, for one key."""

from __future__ import annotations

import random

import pytest
from pyflink.datastream import TimeDomain

from operators import feature_windows_shell
from operators.buckets import LIVE_WRITERS, bucket_keys
from operators.feature_windows_shell import FeatureWindows
from tests.bucket_harness import T0, Bucket, MapState, payment, settings


class Flink:
    """Runtime context, context, timer service and metric group in one; time goes on by `run_until`."""

    def __init__(self, monkeypatch, chosen, key):
        self.now_ms, self.key, self.timers, self.fired, self.exits = T0, key, set(), 0, []
        monkeypatch.setattr(feature_windows_shell, "_now_ms", lambda: self.now_ms)
        self.function = FeatureWindows(chosen)
        self.function.open(self)

    def send(self, blob):
        self.exits += [row[0] for row in self.function.process_element((self.key, blob), self)]

    def run_until(self, now_ms):
        while self.timers and min(self.timers) <= now_ms:
            self.now_ms = min(self.timers)
            self.timers.remove(self.now_ms)
            self.fired += 1
            self.exits += [row[0] for row in self.function.on_timer(self.now_ms, self)]
        self.now_ms = now_ms

    def get_current_key(self):
        return self.key

    def time_domain(self):
        return TimeDomain.PROCESSING_TIME

    def register_processing_time_timer(self, at_ms):
        self.timers.add(at_ms)

    def register_event_time_timer(self, watermark):
        pass

    def get_map_state(self, descriptor):
        return MapState()

    def gauge(self, name, read):
        pass

    def inc(self, count):
        pass

    def itself(self, *names):
        return self

    get_metrics_group = add_group = counter = timer_service = itself


def blobs(every_ms, seconds):
    """(moment, blob of one payment) of a steady stream."""
    gate = Bucket().gate
    for number, at in enumerate(range(T0, T0 + seconds * 1_000, every_ms)):
        ((_, blob),) = gate.admit([payment("anna", at, number)], [at], ["shard"], [str(number)]).batches
        yield at, blob


def test_a_tick_that_an_earlier_one_replaced_registers_no_other(monkeypatch):
    """Each replaced tick used to start a row of ticks of its own: after a minute they took most of the time."""
    chosen = settings()
    flink = Flink(monkeypatch, chosen, 7)
    read_after = random.Random(7)
    for at, blob in blobs(every_ms=97, seconds=60):
        flink.run_until(at + read_after.randrange(90))
        flink.send(blob)
    assert flink.fired <= 2 * 60_000 / chosen.emit_interval_ms, "a few replaced ones fire, and do nothing"


def test_a_timer_of_before_a_restore_is_heard(monkeypatch):
    flink = Flink(monkeypatch, settings(), 7)
    ((at, blob), *_) = blobs(every_ms=1_000, seconds=1)
    flink.now_ms = at
    flink.send(blob)
    before = flink.function._timers[7]
    before.tick_ms = None
    flink.run_until(T0 + 10_000)
    assert "live:3" in flink.exits


@pytest.mark.parametrize("place", [0, 1, 3, 4, 15])
def test_a_buckets_live_rows_always_take_the_same_writer(monkeypatch, place):
    keys = bucket_keys(16)
    flink = Flink(monkeypatch, settings(bucket_keys=keys), keys[place])
    for at, blob in blobs(every_ms=500, seconds=12):
        flink.run_until(at)
        flink.send(blob)
    assert {name for name in flink.exits if name.startswith("live")} == {f"live:{place % LIVE_WRITERS}"}
