"""Rows as they leave: keys, times and partitions of both stores, written down for a window that shows everything."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from operators.expressions import Call, Column, Literal
from operators.feature_rows import instant
from operators.window_spec import Granularity
from tests.bucket_harness import T0, Bucket, payment, settings
from tests.delivered import CARD_VELOCITY, CUSTOMER_SPEND

# midnight is inside the window: [23:59:59.500, 00:00:00.500) of the first of January
MIDNIGHT = T0 + 43_200_000
ODD = dataclasses.replace(
    CUSTOMER_SPEND, name="odd", granularities=(Granularity("odd", 1_000),), slide_ms=1_000, offset_ms=500
)
MORE_THAN_ONE = Call(">", (Column(1, pa.int64()), Literal(1, pa.int64())), pa.bool_())


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (T0, "2026-01-01T12:00:00Z"),
        (T0 + 500, "2026-01-01T12:00:00.500Z"),
        (T0 + 1, "2026-01-01T12:00:00.001Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_a_time_has_milliseconds_where_there_are_some(milliseconds: int, text: str):
    assert instant(milliseconds) == text


def test_a_live_row_is_an_item_of_the_features_table():
    bucket = Bucket(settings(specs=(ODD,), item_ttl_seconds=86_400))
    bucket.send([(payment("anna", MIDNIGHT, 1, channel="ecom"), MIDNIGHT)], now_ms=MIDNIGHT)
    bucket.send([(payment("anna", MIDNIGHT - 500, 2), MIDNIGHT)], now_ms=MIDNIGHT)
    bucket.tick(MIDNIGHT + 1_000)
    assert bucket.out["live"] == [
        {
            "customer_id": "anna",
            "feature_window": "odd#2026-01-02T00:00:00.500Z",
            "feature_set": "odd",
            "window_start": "2026-01-01T23:59:59.500Z",
            "window_end": "2026-01-02T00:00:00.500Z",
            "revision": 2,
            "emitted_at": MIDNIGHT + 1_000,
            "expires_at": MIDNIGHT // 1000 + 86_400,
            "tx_count": 2,
            "amount_sum": Decimal("20.00"),
            "amount_max": Decimal("10.00"),
            "merchant_count": 1,
            "ecom_amount_sum": Decimal("10.00"),
        }
    ]


def test_a_final_row_is_filed_by_its_window_end():
    bucket = Bucket(settings(specs=(ODD,)))
    bucket.send([(payment("anna", MIDNIGHT - 500, 1), MIDNIGHT)])
    bucket.end()
    (row,) = bucket.out["final:odd"]
    assert (row["feature_set"], row["dt"], row["hour"], row["revision"]) == ("odd", "2026-01-02", "00", 1)
    assert row["window_start"] == datetime(2026, 1, 1, 23, 59, 59, 500_000, tzinfo=UTC)
    assert row["window_end"] == datetime(2026, 1, 2, 0, 0, 0, 500_000, tzinfo=UTC)


def test_with_having_only_final_rows_are_written_and_only_those_that_it_keeps():
    spec = dataclasses.replace(CUSTOMER_SPEND, having=MORE_THAN_ONE)
    bucket = Bucket(settings(specs=(spec,)))
    sent = [("anna", 1), ("anna", 2), ("ben", 3)]
    bucket.send([(payment(customer, T0, number), T0) for customer, number in sent])
    bucket.tick(T0 + 120_000)
    assert not bucket.out["live"]
    bucket.end()
    assert {customer for _, customer, _ in bucket.final()} == {"anna"}
    assert {row["customer_id"] for row in bucket.out["live"]} == {"anna"}, "written once, when nothing can change it"


def test_without_a_features_table_no_live_row_is_computed_and_final_rows_are_the_same():
    with_having = dataclasses.replace(CUSTOMER_SPEND, having=MORE_THAN_ONE)
    sent = [(payment("anna", T0 + 700 * number, number), T0 + 700 * number) for number in range(60)]
    both = [Bucket(settings(specs=(CARD_VELOCITY, with_having), writes_live=writes)) for writes in (True, False)]
    for bucket in both:
        for start in range(0, len(sent), 7):
            bucket.send(sent[start : start + 7])
            bucket.tick(sent[start][1])
        bucket.end()
    stored, files_only = both
    assert stored.final() == files_only.final()
    assert stored.out["live"]
    assert not files_only.out["live"]
