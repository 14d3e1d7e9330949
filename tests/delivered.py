"""Contract and delivered windows as data, for tests without a planner; `test_planner` holds them against the files."""

from __future__ import annotations

import pyarrow as pa

from operators.contract import Column as ContractColumn
from operators.contract import Contract
from operators.expressions import Call, Column, Expression, Literal
from operators.window_spec import Aggregate, Granularity, WindowSpec

CONTRACT = Contract(
    table="events",
    columns=(
        ContractColumn("event_id", "STRING", nullable=False),
        ContractColumn("customer_id", "STRING", nullable=False),
        ContractColumn("merchant_id", "STRING", nullable=False),
        ContractColumn("amount", "DECIMAL(12, 2)", nullable=False),
        ContractColumn("event_time", "TIMESTAMP_LTZ(3)", nullable=False),
        ContractColumn("currency", "STRING"),
        ContractColumn("country", "STRING"),
        ContractColumn("channel", "STRING"),
        ContractColumn("device_id", "STRING"),
        ContractColumn("email", "STRING", pii=True),
        ContractColumn("card_present", "BOOLEAN"),
    ),
    lateness_ms=120_000,
)

MONEY, TOTAL, MEAN = pa.decimal128(12, 2), pa.decimal128(38, 2), pa.decimal128(38, 6)


def column(name: str) -> Column:
    """An event column by name."""
    index = CONTRACT.names.index(name)
    return Column(index, CONTRACT.columns[index].arrow_type)


def outputs(*columns: tuple[str, pa.DataType]) -> tuple[tuple[str, Expression], ...]:
    """The aggregates as they are, in order, under these names."""
    return tuple((name, Column(1 + i, arrow_type)) for i, (name, arrow_type) in enumerate(columns))


_COUNT = Aggregate("COUNT", None, None, distinct=False, type=pa.int64())
_SUM = Aggregate("SUM", column("amount"), None, distinct=False, type=TOTAL)
_AVG = Aggregate("AVG", column("amount"), None, distinct=False, type=MEAN)
_MAX = Aggregate("MAX", column("amount"), None, distinct=False, type=MONEY)
_MERCHANTS = Aggregate("COUNT", column("merchant_id"), None, distinct=True, type=pa.int64())
_IS_ECOM = Call("=", (column("channel"), Literal("ecom", pa.string())), pa.bool_())
_ECOM_SUM = Aggregate("SUM", column("amount"), _IS_ECOM, distinct=False, type=TOTAL)

CARD_VELOCITY = WindowSpec(
    name="card_velocity",
    granularities=(Granularity("card_velocity", 30_000),),
    slide_ms=5_000,
    offset_ms=0,
    where=None,
    aggregates=(_COUNT, _SUM, _AVG, _MAX, _MERCHANTS),
    outputs=outputs(
        ("tx_count", pa.int64()),
        ("amount_sum", TOTAL),
        ("amount_avg", MEAN),
        ("amount_max", MONEY),
        ("merchant_count", pa.int64()),
    ),
)

CUSTOMER_SPEND = WindowSpec(
    name="customer_spend",
    granularities=(
        Granularity("customer_spend_1m", 60_000),
        Granularity("customer_spend_5m", 300_000),
        Granularity("customer_spend_15m", 900_000),
    ),
    slide_ms=60_000,
    offset_ms=0,
    where=None,
    aggregates=(_COUNT, _SUM, _MAX, _MERCHANTS, _ECOM_SUM),
    outputs=outputs(
        ("tx_count", pa.int64()),
        ("amount_sum", TOTAL),
        ("amount_max", MONEY),
        ("merchant_count", pa.int64()),
        ("ecom_amount_sum", TOTAL),
    ),
)
