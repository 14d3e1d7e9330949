"""A window file after Flink's planner: plain data that travels to the operator inside the job graph.

Expressions are trees (`operators.expressions`), not closures, so that they pickle; the operator compiles them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from operators.expressions import Expression

AGGREGATES = ("COUNT", "SUM", "$SUM0", "MIN", "MAX", "AVG")


@dataclass(frozen=True)
class Aggregate:
    """One aggregate call of the window query.

    Attributes:
        function: one of AGGREGATES, Flink's internal name.
        argument: expression over the contract's columns; None for COUNT(*).
        filter: boolean expression over the contract's columns; None counts every row.
        distinct: True for COUNT(DISTINCT x) (SUM/AVG DISTINCT run natively).
        type: Arrow type of the result as Flink declares it.
    """

    function: str
    argument: Expression | None
    filter: Expression | None
    distinct: bool
    type: pa.DataType


@dataclass(frozen=True)
class Granularity:
    """One feature set of a window file: its name in the features table and its window size in milliseconds."""

    feature_set: str
    size_ms: int


@dataclass(frozen=True)
class WindowSpec:
    """One window file as the keyed operator runs it.

    Rows exist per (customer_id, window) with at least one event that passes `where`.

    Attributes:
        name: stem of the file.
        granularities: one for HOP and TUMBLE, several (ascending, each dividing the next) for a rollup.
        slide_ms: distance of window starts of the first granularity; its size for TUMBLE and for rollups, which tumble.
        offset_ms: shift of the window grid against the epoch.
        where: boolean expression over the contract's columns, or None.
        aggregates: aggregate calls, arguments over the contract's columns.
        outputs: (name, expression) of the feature columns (not customer_id, window_start, window_end), in SQL order.
            Inputs of these expressions: column 0 is customer_id (string), 1..n the aggregates in order, n+1
            window_start, n+2 window_end (timestamp('ms'), no zone).
        having: boolean expression over the same inputs as `outputs`, or None. With HAVING only final rows are written.
        emit_every_ms: live rows before the window ends, every so often; None only from the end on.
    """

    name: str
    granularities: tuple[Granularity, ...]
    slide_ms: int
    offset_ms: int
    where: Expression | None
    aggregates: tuple[Aggregate, ...]
    outputs: tuple[tuple[str, Expression], ...]
    having: Expression | None = None
    emit_every_ms: int | None = None
