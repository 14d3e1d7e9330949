"""The plan's formulas: against rows that were counted, against services' units, and in which order limits come."""

from __future__ import annotations

import math
import re
from datetime import datetime

import msgspec
import pytest

from flink_app.generate import ACCEPTED, payments
from flink_app.local.places import ROOT
from flink_app.plan import (
    BATCH_MS,
    BATCH_ROWS,
    Shape,
    Workload,
    final_rows_per_event,
    limits_of,
    live_rows_per_event,
    needs_of,
    plan_tables,
    report,
)
from operators.buckets import LIVE_WRITERS, MAX_PARALLELISM

WINDOWS = (
    Shape("card_velocity", 30, 5),
    Shape("customer_spend_1m", 60, 60),
    Shape("customer_spend_5m", 300, 300),
    Shape("customer_spend_15m", 900, 900),
)
LIVE_COUNTED = 0.87  # a payment, of the first million, in a benchmark with live rows, docs/benchmark.md at 15bb97a
BENCHMARK = (ROOT / "docs" / "benchmark.md").read_text()


def test_the_rows_are_those_that_the_benchmark_counted():
    """As many payments of as many customers as docs/benchmark.md says; the stream's edges included."""
    given = re.search(r"^- ([\d,]+) payments of ([\d,]+) customers, ([\d,]+) a second", BENCHMARK, re.MULTILINE)
    payments, customers, rate = (int(number.replace(",", "")) for number in given.groups())
    counted = {name: int(rows.replace(",", "")) for name, rows in re.findall(r"(\w+) ([\d,]+) rows", BENCHMARK)}
    workload = Workload(rate=rate, customers=customers)
    for window in WINDOWS:
        rows = final_rows_per_event(workload, [window], seconds=payments / rate) * payments
        if window.size < 900:  # a window much longer than the stream: one or two of them, by its place in the hour
            assert rows == pytest.approx(counted[window.name], rel=0.15), window.name
    assert LIVE_COUNTED <= live_rows_per_event(workload, WINDOWS, seconds=100) <= LIVE_COUNTED * 1.25


@pytest.mark.slow
def test_the_rows_are_those_of_the_demos_stream():
    """Windows that hold an accepted payment of `make demo`; each has one final row."""
    from flink_app.demo import CUSTOMERS, EVENTS, RATE, SEED

    windows = {window.name: set() for window in WINDOWS}
    for chunk in payments(seed=SEED, events=EVENTS, customers=CUSTOMERS, rate=RATE):
        for record, exit_ in zip(chunk.records, chunk.exits.tolist(), strict=True):
            if exit_ == ACCEPTED:
                payment = msgspec.json.decode(record)
                time = datetime.fromisoformat(payment["event_time"]).timestamp()
                for window in WINDOWS:
                    newest = int(time // window.slide)
                    starts = range(newest - int(window.size // window.slide) + 1, newest + 1)
                    windows[window.name].update((payment["customer_id"], start) for start in starts)
    rows = sum(map(len, windows.values()))
    planned = final_rows_per_event(Workload(RATE, CUSTOMERS), WINDOWS, seconds=EVENTS / RATE) * EVENTS
    print(f"{rows:,} rows, planned {planned:,.0f}", {name: len(found) for name, found in windows.items()})
    assert planned == pytest.approx(rows, rel=0.15)


def test_rows_of_rare_and_of_busy_customers():
    rare, busy = Workload(rate=1, customers=1e6), Workload(rate=1e6, customers=100)
    assert final_rows_per_event(rare, WINDOWS) == pytest.approx(6 + 1 + 1 + 1, rel=0.001)  # each its own windows
    assert final_rows_per_event(busy, WINDOWS) * 1e6 == pytest.approx(100 * (1 / 5 + 1 / 60 + 1 / 300 + 1 / 900))


def test_the_costs_are_the_units_times_their_prices():
    needs = needs_of(Workload(rate=10_000, customers=1e9, late_share=0), [Shape("card_velocity", 30, 5)])
    assert needs.live_rows == pytest.approx(60_000, rel=0.001)
    assert needs.dollars["DynamoDB writes"] == pytest.approx(60_000 * 3_600 / 1e6 * 0.625, rel=0.001)
    assert needs.shards == 10
    assert needs.dollars["Kinesis shards"] == pytest.approx(0.35)
    assert needs.dollars["Flink KPUs"] == pytest.approx((needs.kpus + 1) * 0.11)
    assert needs_of(Workload(rate=500, customers=1e6, event_bytes=4_000), WINDOWS).shards == 2  # by bytes


@pytest.mark.parametrize("factor", [1, 10, 100])
def test_more_of_the_same_customers_cost_in_proportion(factor):
    one, many = (needs_of(Workload(10_000, 1e6).times(times), WINDOWS) for times in (1, factor))
    assert many.live_rows == pytest.approx(factor * one.live_rows)
    assert many.shards == factor * one.shards
    assert sum(many.dollars.values()) == pytest.approx(factor * sum(one.dollars.values()), rel=0.02)


def test_a_limit_is_kept_below_its_rate_and_broken_above():
    workload = Workload(rate=1_000, customers=100_000, buckets=16)
    limits = {limit.name: limit.rate for limit in limits_of(workload, WINDOWS)}
    for name, value, bound in [
        ("State.buckets", lambda n: n.parallelism, 16),
        ("DynamoDB writes of a table", lambda n: n.live_rows, 40_000),
        ("KPUs of an application", lambda n: n.kpus, 64),
    ]:
        rate = limits[name]
        assert value(needs_of(workload.times(rate * 0.999 / 1_000), WINDOWS)) <= bound, name
        assert value(needs_of(workload.times(rate * 1.001 / 1_000), WINDOWS)) > bound, name


def test_the_limit_that_comes_first_stands_first():
    def first(workload):
        return limits_of(workload, WINDOWS)[0].name

    rates = [limit.rate for limit in limits_of(Workload(1_000, 100_000), WINDOWS)]
    assert rates == sorted(rates)
    assert first(Workload(1_000, 1e9, buckets=2)) == "State.buckets"
    assert first(Workload(1_000, 1e9, buckets=MAX_PARALLELISM)) == "DynamoDB writes of a table"
    assert first(Workload(1_000, 10, buckets=MAX_PARALLELISM, largest_share=0.1)) == "one customer in one shard"
    assert limits_of(Workload(1_000, 1e6, largest_share=0), WINDOWS)[-1].rate == math.inf


@pytest.mark.parametrize(("rate", "columns"), [(1_000, 4), (10_000, 3), (50_000, 3), (100, 5)])
def test_the_plan_goes_on_to_a_million_payments_a_second(rate, columns):
    needs, *_ = plan_tables(Workload(rate, rate * 100), WINDOWS, []).renderables
    told = [column.header for column in needs.columns[1:]]
    assert told == ["1×", "10×", "100×", "1,000×", "10,000×"][:columns]


def test_more_writers_than_cpu_or_shards_ask_for_parallelism():
    needs = needs_of(Workload(rate=9_000, customers=1e9, late_share=0), [Shape("card_velocity", 300, 1)])
    assert needs.parallelism == math.ceil(needs.live_rows / (LIVE_WRITERS * BATCH_ROWS * 1_000 / BATCH_MS))


def test_the_report_has_a_cell_for_each_factor():
    rows = dict(report(Workload(10_000, 1e6), WINDOWS, [1, 10, 100]))
    assert rows["payments a second"] == ["10,000", "100,000", "1,000,000"]
    parts = [float(cells[2].replace(",", "")) for name, cells in rows.items() if name.startswith("$ an hour: ")]
    assert sum(parts) == pytest.approx(float(rows["$ an hour"][2].replace(",", "")), abs=0.05)
