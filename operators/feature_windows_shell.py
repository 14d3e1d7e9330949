"""The keyed operator in Flink: moves state, timers, bytes to and from `operators.feature_bucket`, decides nothing."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyflink.common import Row, Time, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext, TimeDomain
from pyflink.datastream.state import MapState, MapStateDescriptor, StateTtlConfig

from operators.arrival_clock import ArrivalClock
from operators.bucket_state import BucketState
from operators.buckets import LIVE_WRITERS
from operators.feature_bucket import END_OF_STREAM, LIVE, Exit, FeatureBucket
from operators.feature_settings import FeatureSettings
from operators.operator_stats import METRIC_GROUP, READINGS, TOTALS, OperatorStats

# The bucket prunes its log by event time. The TTL behind it must outlast any pause between savepoint and restore: an
# expired log would leave the windows around the pause without their first half. What has expired may be read until it
# is cleaned up: PyFlink caches no write of a state that promises otherwise, and waits for the JVM at each one.
_LOG_SAFETY_TTL = StateTtlConfig.new_builder(Time.days(400)).return_expired_if_not_cleaned_up().build()

# How long a thread of the worker may keep the interpreter while others wait: with the default of 5 ms every answer of
# the JVM, which passes through three threads, waits that long for the gate.
_SWITCH_SECONDS = 0.0005


@dataclass
class _Timers:
    """The timers that are registered for a bucket; registering one again would cost a round trip for nothing."""

    tick_ms: int | None = None
    watermark_ms: int | None = None


class FeatureWindows(KeyedProcessFunction):  # type: ignore[misc]
    """(bucket, blob) in, (exit, Arrow IPC stream) out; see `operators.feature_bucket` for the contract of the state.

    The exit `live` has as many parts as there are writers: `live:0`, `live:1` …
    """

    def __init__(self, settings: FeatureSettings) -> None:
        self._settings = settings

    def open(self, runtime_context: RuntimeContext) -> None:
        """Declare the state, register the metrics."""
        self._state = _declare_state(runtime_context)
        self._clock = ArrivalClock()
        self._stats = OperatorStats()
        self._reported = OperatorStats()
        self._buckets: dict[int, FeatureBucket] = {}
        self._timers: dict[int, _Timers] = {}
        self._live_exits: dict[int, str] = {}
        self._watermark = 0
        self._register_metrics(runtime_context)
        gc.collect()
        gc.freeze()  # imports are for ever; nothing on the hot path makes cycles, so full collections may be rare
        gc.set_threshold(50_000, 20, 50)
        sys.setswitchinterval(_SWITCH_SECONDS)

    def process_element(self, value: Row, ctx: KeyedProcessFunction.Context) -> Iterator[Row]:
        """One blob of one bucket."""
        now_ms = _now_ms()
        key, bucket = self._current(ctx, now_ms)
        yield from self._leave(key, bucket.receive(value[1], now_ms))
        self._schedule(key, bucket, ctx, now_ms)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Row]:
        """A tick (processing time) or a watermark (event time)."""
        now_ms = _now_ms()
        key, bucket = self._current(ctx, now_ms)
        timers = self._timers[key]
        if ctx.time_domain() == TimeDomain.PROCESSING_TIME:
            if timers.tick_ms not in (None, timestamp):
                return  # an earlier tick has taken its place; None: registered before a restore
            timers.tick_ms = None
            yield from self._leave(key, bucket.tick(now_ms))
        else:
            timers.watermark_ms = None
            self._watermark = ctx.timer_service().current_watermark()
            yield from self._leave(key, bucket.advance(self._watermark, now_ms))
        if self._watermark < END_OF_STREAM:
            self._schedule(key, bucket, ctx, now_ms)

    def _current(self, ctx: Any, now_ms: int) -> tuple[int, FeatureBucket]:
        key = ctx.get_current_key()
        bucket = self._buckets.get(key)
        if bucket is None:
            self._check_key(key)
            bucket = FeatureBucket(key, self._settings, self._state, self._clock, self._stats, now_ms)
            self._buckets[key] = bucket
            self._timers[key] = _Timers()
            keys = self._settings.bucket_keys
            self._live_exits[key] = live_exit(keys.index(key) if keys else key)
        return key, bucket

    def _check_key(self, key: int) -> None:
        """A restored bucket that the gate does not know would keep its events from their customers' new bucket."""
        keys = self._settings.bucket_keys
        if keys and key not in keys:
            raise ValueError(
                f"State.buckets: the restored state has a bucket with key {key}, which is none of today's {len(keys)}"
                " · wanted the number of buckets that the state was written with · set it back"
            )

    def _leave(self, key: int, exits: list[Exit]) -> Iterator[Row]:
        for exit_name, batch in exits:
            yield Row(self._live_exits[key] if exit_name == LIVE else exit_name, batch)
        for name, counter in self._counters.items():
            done = getattr(self._stats, name)
            counter.inc(done - getattr(self._reported, name))
            setattr(self._reported, name, done)

    def _schedule(self, key: int, bucket: FeatureBucket, ctx: Any, now_ms: int) -> None:
        timers, service = self._timers[key], ctx.timer_service()
        if timers.tick_ms is None or timers.tick_ms > now_ms + self._settings.emit_interval_ms:
            tick = bucket.next_tick_ms(now_ms)
            if tick is not None and (timers.tick_ms is None or tick < timers.tick_ms):
                timers.tick_ms = tick
                service.register_processing_time_timer(tick)
        watermark = bucket.next_watermark_ms()
        if watermark is not None and (timers.watermark_ms is None or watermark < timers.watermark_ms):
            timers.watermark_ms = watermark
            service.register_event_time_timer(watermark)

    def _register_metrics(self, runtime_context: RuntimeContext) -> None:
        group = runtime_context.get_metrics_group().add_group(METRIC_GROUP)
        self._counters = {name: group.counter(name) for name in TOTALS}
        for name in READINGS:
            group.gauge(name, lambda name=name: getattr(self._stats, name))
        group.gauge(
            "watermark_lag_ms", lambda: _now_ms() - self._watermark if 0 < self._watermark < END_OF_STREAM else 0
        )


def live_exit(bucket: int) -> str:
    """The exit of the live rows of bucket 0, 1, 2 …, by their writer."""
    return f"{LIVE}:{bucket % LIVE_WRITERS}"


class _OneEntry:
    """One value, in a map state. PyFlink sends a value state's update as two requests and waits for both, after it has
    measured the size of what it caches, a millisecond; a map state's writes are one, at the bundle's end.
    """

    def __init__(self, entries: MapState) -> None:
        self._entries = entries

    def value(self) -> bytes | None:
        stored: bytes | None = self._entries.get(0)
        return stored

    def update(self, value: bytes) -> None:
        self._entries.put(0, value)


def _declare_state(runtime_context: RuntimeContext) -> BucketState:
    bytes_type = Types.PRIMITIVE_ARRAY(Types.BYTE())
    log = MapStateDescriptor("log", Types.LONG(), bytes_type)
    log.enable_time_to_live(_LOG_SAFETY_TTL)
    return BucketState(
        runtime_context.get_map_state(log),
        runtime_context.get_map_state(MapStateDescriptor("schemas", Types.LONG(), bytes_type)),
        _OneEntry(runtime_context.get_map_state(MapStateDescriptor("progress", Types.LONG(), bytes_type))),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
