"""Aggregates from mergeable columns: rounding, NULL, wrapping and width are Flink's."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.accumulators import EventColumns, Layout
from operators.expressions import Call, Column, Literal, Unsupported
from operators.interner import Interner
from operators.partials import from_events, merge
from operators.window_spec import Aggregate, Granularity, WindowSpec

MONEY = Column(0, pa.decimal128(12, 2))
COUNT = Column(1, pa.int32())
RATIO = Column(2, pa.float64())
IS_BIG = Call(">", (COUNT, Literal(5, pa.int32())), pa.bool_())


def aggregate(function: str, argument: Column | None, result: pa.DataType, **more: object) -> Aggregate:
    return Aggregate(function, argument, more.get("filter"), bool(more.get("distinct")), result)  # type: ignore[arg-type]


def run(aggregates: list[Aggregate], parts: list[pa.RecordBatch], where: Call | None = None) -> list[object]:
    """One customer's results over batches that are merged."""
    layout = Layout.of([WindowSpec("w", (Granularity("w", 1_000),), 1_000, 0, where, tuple(aggregates), ())])
    values, compiled = [Interner() for _ in layout.distincts], {}
    partials = []
    for batch in parts:
        zeros = np.zeros(batch.num_rows, np.int64)
        partials += [p for _, p in from_events(EventColumns(batch, compiled), zeros, zeros, layout, values)]
    whole = merge(partials, layout)
    return [read(whole.columns, whole.distinct_counts())[0].as_py() for read in layout.readers[0]]


def batch(money: list[str | None], counts: list[int | None], ratios: list[float | None]) -> pa.RecordBatch:
    columns = [
        pa.array([None if m is None else Decimal(m) for m in money], pa.decimal128(12, 2)),
        pa.array(counts, pa.int32()),
        pa.array(ratios, pa.float64()),
    ]
    return pa.RecordBatch.from_arrays(columns, ["money", "count", "ratio"])


def test_nulls_count_for_nothing_and_a_sum_of_none_is_null():
    one = batch(["1.10", None], [None, 3], [None, None])
    wanted = [
        aggregate("COUNT", None, pa.int64()),
        aggregate("COUNT", MONEY, pa.int64()),
        aggregate("SUM", RATIO, pa.float64()),
        aggregate("$SUM0", RATIO, pa.float64()),
        aggregate("MIN", RATIO, pa.float64()),
        aggregate("SUM", MONEY, pa.decimal128(38, 2)),
    ]
    assert run(wanted, [one]) == [2, 1, None, 0.0, None, Decimal("1.10")]


def test_where_and_filter_are_both_needed():
    one = batch(["1.00", "2.00", "4.00"], [9, 5, 9], [0.5, 0.5, 9.0])
    is_half = Call("=", (RATIO, Literal(0.5, pa.float64())), pa.bool_())
    total = aggregate("SUM", MONEY, pa.decimal128(38, 2), filter=IS_BIG)
    assert run([total, aggregate("COUNT", None, pa.int64())], [one], where=is_half) == [Decimal("1.00"), 2]


def test_a_condition_that_is_null_keeps_nobody():
    one = batch(["1.00", "2.00"], [None, 9], [0.0, 0.0])
    wanted = [aggregate("COUNT", None, pa.int64()), aggregate("COUNT", MONEY, pa.int64(), distinct=True)]
    assert run(wanted, [one], where=IS_BIG) == [1, 1]


def test_extremes_begin_with_no_value_of_their_own():
    one = batch(["-5.00", "-3.00", "4.00", None], [9, 9, 1, 9], [-2.5, None, 9.0, -3.5])
    wanted = [aggregate(f, a, a.type, filter=IS_BIG) for a in (MONEY, COUNT, RATIO) for f in ("MIN", "MAX")]
    assert run(wanted, [one]) == [Decimal("-5.00"), Decimal("-3.00"), 9, 9, -3.5, -2.5]
    mirrored = batch(["5.00", "3.00", "-4.00", None], [9, 9, 1, 9], [2.5, None, -9.0, 3.5])
    assert run(wanted, [mirrored]) == [Decimal("3.00"), Decimal("5.00"), 9, 9, 2.5, 3.5]


def test_a_sum_of_money_that_nobody_has_paid_is_null():
    wanted = [aggregate(f, MONEY, pa.decimal128(38, 2), filter=IS_BIG) for f in ("SUM", "$SUM0")]
    assert run(wanted, [batch(["1.00"], [1], [0.0])]) == [None, Decimal("0.00")]


def test_a_revision_counts_the_events_that_pass_where():
    layout = Layout.of([WindowSpec("w", (Granularity("w", 1_000),), 1_000, 0, IS_BIG, (), ())])
    events = EventColumns(batch(["1.00"] * 3, [9, 1, 9], [0.0] * 3), {})
    zeros = np.zeros(3, np.int64)
    ((_, partial),) = from_events(events, zeros, zeros, layout, [])
    assert partial.columns[layout.revisions[0]].tolist() == [2]


def test_a_sum_of_int_wraps_as_java_does():
    one = batch(["0.00", "0.00"], [2**31 - 1, 1], [0.0, 0.0])
    assert run([aggregate("SUM", COUNT, pa.int32())], [one]) == [-(2**31)]


@pytest.mark.parametrize(("counts", "average"), [([7, -2], 2), ([-7, 2], -2), ([-1, 0], 0)])
def test_an_average_of_int_truncates_toward_zero(counts: list[int], average: int):
    one = batch(["0.00"] * 2, counts, [0.0] * 2)
    assert run([aggregate("AVG", COUNT, pa.int32())], [one]) == [average]


cents = st.integers(-(10**12) + 1, 10**12 - 1).map(lambda c: f"{Decimal(c).scaleb(-2):f}")


@given(st.lists(st.lists(cents, min_size=1, max_size=30), min_size=1, max_size=5))
def test_sums_and_averages_of_money_are_exact(parts: list[list[str]]):
    batches = [batch(part, [1] * len(part), [0.0] * len(part)) for part in parts]
    amounts = [Decimal(m) for part in parts for m in part]
    total = sum(amounts)
    average = (total / len(amounts)).quantize(Decimal("0.000001"), ROUND_HALF_UP)
    wanted = [
        aggregate("SUM", MONEY, pa.decimal128(38, 2)),
        aggregate("AVG", MONEY, pa.decimal128(38, 6)),
        aggregate("MIN", MONEY, pa.decimal128(12, 2)),
        aggregate("MAX", MONEY, pa.decimal128(12, 2)),
    ]
    assert run(wanted, batches) == [total, average, min(amounts), max(amounts)]


def test_distinct_values_are_counted_over_all_parts():
    parts = [batch(["1.00", "2.00", None], [1, 1, 1], [0.0] * 3), batch(["2.00", "3.00"], [9, 1], [0.0] * 2)]
    wanted = [
        aggregate("COUNT", MONEY, pa.int64(), distinct=True),
        aggregate("COUNT", MONEY, pa.int64(), distinct=True, filter=IS_BIG),
    ]
    assert run(wanted, parts) == [3, 1]


def test_equal_aggregates_of_two_windows_share_their_columns():
    spec = WindowSpec("a", (Granularity("a", 1),), 1, 0, None, (aggregate("AVG", MONEY, pa.decimal128(38, 6)),), ())
    alone = Layout.of([spec])
    assert len(Layout.of([spec, spec]).components) == len(alone.components)


@pytest.mark.parametrize(
    "unsupported",
    [
        aggregate("SUM", MONEY, pa.decimal128(38, 2), distinct=True),
        aggregate("MAX", Column(0, pa.string()), pa.string()),
        aggregate("SUM", Column(0, pa.decimal128(30, 2)), pa.decimal128(38, 2)),
        aggregate("LAST_VALUE", COUNT, pa.int32()),
    ],
)
def test_what_the_columns_cannot_express_is_said_and_runs_natively(unsupported: Aggregate):
    with pytest.raises(Unsupported):
        run([unsupported], [batch(["1.00"], [1], [1.0])])
