"""What is varied, one thing at a time, and what theory says must come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from flink_app.generate import MERCHANTS
from tests.bench.payload import CUSTOMERS

FEW_CUSTOMERS: Final = 200  # so that one customer's window holds many payments


@dataclass(frozen=True, kw_only=True)
class Load:
    """One stream and its windows.

    Attributes:
        customers, merchants: how many there are.
        late: part of the payments that comes 3 to 75 s after its time.
        windows: stem -> text of the window files; None: the delivered ones.
    """

    customers: int = CUSTOMERS
    merchants: int = MERCHANTS
    late: float = 0.05
    windows: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Axis:
    """One curve.

    Attributes:
        name: what is varied, as the plot names it.
        values: ascending.
        load: value -> what runs.
        expected: what theory says, for the reader.
    """

    name: str
    values: tuple[float, ...]
    load: Callable[[float], Load]
    expected: str


def _hop(slide_seconds: int, aggregates: str = "COUNT(*) AS tx_count, SUM(amount) AS amount_sum") -> str:
    interval = f"INTERVAL '{slide_seconds}' SECOND, INTERVAL '30' SECOND"
    return (
        f"SELECT customer_id, window_start, window_end, {aggregates}\n"
        f"FROM TABLE(HOP(TABLE events, DESCRIPTOR(event_time), {interval}))\n"
        "GROUP BY customer_id, window_start, window_end\n"
    )


_DISTINCT: Final = "COUNT(*) AS tx_count, COUNT(DISTINCT merchant_id) AS merchant_count"

AXES: Final[dict[str, Axis]] = {
    "customers": Axis(
        "customers",
        (1_000, 10_000, 100_000, 1_000_000),
        lambda value: Load(customers=int(value)),
        "a payment costs its windows' rows: the more customers share the same payments, the more rows each one makes",
    ),
    "windows": Axis(
        "window files (HOP 30 s / 5 s)",
        (1, 5, 10, 20),
        lambda value: Load(windows={f"window_{number:02}": _hop(5) for number in range(int(value))}),
        "gate and dedup once, then a line: each window adds its slices and its rows",
    ),
    "slide": Axis(
        "slide of a 30 s window, s",
        (1, 2, 5, 10, 30),
        lambda value: Load(windows={"window": _hop(int(value))}),
        "rows are 30 s ÷ slide for each customer; a payment goes into one slice, whatever the slide",
    ),
    "disorder": Axis(
        "part of the payments that is 3 to 75 s late",
        (0.0, 0.1, 0.3, 0.6),
        lambda value: Load(late=value),
        "flat: a late payment goes into its slice as any other",
    ),
    "distinct": Axis(
        f"merchants, {FEW_CUSTOMERS} customers, COUNT(DISTINCT merchant_id)",
        (10, 100, 1_000, 10_000, 100_000),
        lambda value: Load(customers=FEW_CUSTOMERS, merchants=int(value), windows={"window": _hop(5, _DISTINCT)}),
        "exact distinct keeps each customer's merchants of each slice: memory with them, time nearly flat",
    ),
}
