"""PyFlink's DataStream API as its tutorials write it: a function a step, one payment at a time, Python in a process.

flink run --python flink_datastream.py INPUT OUTPUT

The watermark follows the event time, 125 s behind it: no payment arrives later than 120 s, or more than 5 s early.

Where its time goes: some 70 % of what the worker does is Beam weighing the states that it caches (py-spy: `StateCache`,
objsize), the rest mostly requests for state.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

from pyflink.common import Duration, Encoder, Time, Types, WatermarkStrategy
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.file_system import FileSink, FileSource, RollingPolicy, StreamFormat
from pyflink.datastream.functions import AggregateFunction, KeyedProcessFunction, ProcessWindowFunction
from pyflink.datastream.state import StateTtlConfig, ValueStateDescriptor
from pyflink.datastream.window import SlidingEventTimeWindows, TumblingEventTimeWindows

WINDOWS = {
    "card_velocity": SlidingEventTimeWindows.of(Time.seconds(30), Time.seconds(5)),
    "customer_spend_1m": TumblingEventTimeWindows.of(Time.minutes(1)),
    "customer_spend_5m": TumblingEventTimeWindows.of(Time.minutes(5)),
    "customer_spend_15m": TumblingEventTimeWindows.of(Time.minutes(15)),
}


def parse(line):
    """One payment, or none if it is malformed, too late, or from the future."""
    try:
        event = json.loads(line, parse_float=Decimal)
        time = datetime.fromisoformat(event["event_time"])
        event_ms = int(time.timestamp()) * 1000 + time.microsecond // 1000
        if -5_000 <= event["arrival_ms"] - event_ms <= 120_000:
            yield {
                "event_ms": event_ms,
                "event_id": event["event_id"],
                "customer_id": event["customer_id"],
                "merchant_id": event["merchant_id"],
                "amount": Decimal(event["amount"]),
                "channel": event.get("channel"),
            }
    except (ValueError, KeyError, TypeError):
        return


class EventTime(TimestampAssigner):
    def extract_timestamp(self, value, record_timestamp):
        return value["event_ms"]


class Deduplicate(KeyedProcessFunction):
    """The first of equal payments, for as long as another can come."""

    def open(self, runtime_context):
        descriptor = ValueStateDescriptor("seen", Types.BOOLEAN())
        descriptor.enable_time_to_live(StateTtlConfig.new_builder(Time.minutes(10)).build())
        self.seen = runtime_context.get_state(descriptor)

    def process_element(self, value, ctx):
        if not self.seen.value():
            self.seen.update(True)
            yield value


class Features(AggregateFunction):
    """(payments, sum, largest, merchants, sum online or None)."""

    def create_accumulator(self):
        return 0, Decimal(0), None, set(), None

    def add(self, value, accumulator):
        count, total, largest, merchants, ecom = accumulator
        amount = value["amount"]
        merchants.add(value["merchant_id"])
        if value["channel"] == "ecom":
            ecom = amount if ecom is None else ecom + amount
        return count + 1, total + amount, amount if largest is None else max(largest, amount), merchants, ecom

    def get_result(self, accumulator):
        return accumulator

    def merge(self, a, b):
        ecom = [part for part in (a[4], b[4]) if part is not None]
        return a[0] + b[0], a[1] + b[1], max(a[2], b[2]), a[3] | b[3], sum(ecom) if ecom else None


class ToJson(ProcessWindowFunction):
    def __init__(self, feature_set):
        self.feature_set = feature_set

    def process(self, key, context, elements):
        ((count, total, largest, merchants, ecom),) = elements
        window = context.window()
        row = {
            "feature_set": self.feature_set,
            "customer_id": key,
            "window_start": instant(window.start),
            "window_end": instant(window.end),
            "tx_count": count,
            "amount_sum": str(total),
            "amount_max": str(largest),
            "merchant_count": len(merchants),
        }
        if self.feature_set == "card_velocity":
            row["amount_avg"] = str((total / count).quantize(Decimal("0.000001"), ROUND_HALF_UP))
        else:
            row["ecom_amount_sum"] = None if ecom is None else str(ecom)
        yield json.dumps(row)


def instant(epoch_ms):
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def main(source: str, target: str) -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    lines = FileSource.for_record_stream_format(StreamFormat.text_line_format(), source).build()
    payments = (
        env.from_source(lines, WatermarkStrategy.no_watermarks(), "Source")
        .flat_map(parse)
        .assign_timestamps_and_watermarks(
            WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_seconds(125)).with_timestamp_assigner(
                EventTime()
            )
        )
        .key_by(lambda payment: (payment["customer_id"], payment["event_id"]))
        .process(Deduplicate())
        .key_by(lambda payment: payment["customer_id"])
    )
    first, *others = (
        payments.window(window).aggregate(Features(), ToJson(feature_set), output_type=Types.STRING())
        for feature_set, window in WINDOWS.items()
    )
    first.union(*others).sink_to(
        FileSink.for_row_format(target, Encoder.simple_string_encoder())
        .with_rolling_policy(RollingPolicy.on_checkpoint_rolling_policy())
        .build()
    )
    env.execute_async("datastream")


if __name__ == "__main__":
    main(*sys.argv[1:3])
