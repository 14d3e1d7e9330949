"""Expressions of a window query as plain data: trees that pickle, and the way to run them on Arrow columns.

    amount * 2 > 100   is   Call(">", (Call("*", (Column(3, …), Literal(2, …)), …), Literal(100, …)), bool)

The planner translates a query once (`flink_app.window_plan`), the tree travels inside the job graph, the operator
compiles it in `open()`. Types are Arrow's, results are those of Flink SQL: NULL logic, DECIMAL scale and HALF_UP,
integers that wrap, strings by code points. See `operators.expression_functions` for the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from operators.conversions import Unsupported
from operators.expression_functions import build
from operators.operands import Operand

__all__ = ["Call", "Column", "Expression", "Literal", "Unsupported", "columns_of", "compile_expression", "text_of"]


@dataclass(frozen=True)
class Column:
    """The input column at `index`."""

    index: int
    type: pa.DataType


@dataclass(frozen=True)
class Literal:
    """A constant: None, bool, int, float, str, Decimal; milliseconds (since the epoch) for a duration (timestamp)."""

    value: Any
    type: pa.DataType


@dataclass(frozen=True)
class Call:
    """A function of `operators.expression_functions` applied to operands; `type` is the result as Flink declares it."""

    name: str
    operands: tuple[Expression, ...]
    type: pa.DataType


Expression: TypeAlias = Column | Literal | Call


def columns_of(expression: Expression) -> frozenset[int]:
    """Indices of the input columns that the expression reads."""
    if isinstance(expression, Column):
        return frozenset([expression.index])
    if isinstance(expression, Literal):
        return frozenset()
    return frozenset().union(*[columns_of(operand) for operand in expression.operands])


def compile_expression(expression: Expression) -> Callable[[Sequence[pa.Array], int], pa.Array]:
    """A function (input columns, row count n) -> pa.Array of `expression.type` and length n.

    Columns that the expression does not read may be None. Constant parts are computed here, once.

    Raises:
        Unsupported: a function that would not give exactly Flink's result.
    """
    run = _compile(expression)

    def evaluate(columns: Sequence[pa.Array], rows: int) -> pa.Array:
        value = run(columns)
        if isinstance(value, pa.Scalar):
            return pa.repeat(value, rows) if value.is_valid else pa.nulls(rows, expression.type)
        return value.combine_chunks() if isinstance(value, pa.ChunkedArray) else value

    return evaluate


def _compile(expression: Expression) -> Callable[[Sequence[pa.Array]], Any]:
    if isinstance(expression, Column):
        index = expression.index
        return lambda columns: columns[index]
    constant = _constant(expression)
    if constant is not None:
        return lambda _columns: constant
    assert isinstance(expression, Call)
    kernel = build(expression.name, expression.type, [Operand(o.type, _constant(o)) for o in expression.operands])
    operands = [_compile(operand) for operand in expression.operands]
    wanted = expression.type

    def call(columns: Sequence[pa.Array]) -> Any:
        value = kernel(*[operand(columns) for operand in operands])
        return value if value.type == wanted else pc.cast(value, wanted, safe=False)

    return call


def _constant(expression: Expression) -> pa.Scalar | None:
    """The value of an expression without columns."""
    if isinstance(expression, Literal):
        return pa.scalar(expression.value, expression.type)
    if isinstance(expression, Column) or columns_of(expression):
        return None
    constants = [(operand.type, _constant(operand)) for operand in expression.operands]
    kernel = build(expression.name, expression.type, [Operand(kind, constant) for kind, constant in constants])
    value = kernel(*[constant for _, constant in constants])
    scalar = value if isinstance(value, pa.Scalar) else value[0]
    return scalar if scalar.type == expression.type else pc.cast(scalar, expression.type, safe=False)


def text_of(expression: Expression) -> str:
    """A readable form, for logs and tests: `>(*($3, 2), 100)`."""
    if isinstance(expression, Column):
        return f"${expression.index}"
    if isinstance(expression, Literal):
        return repr(expression.value)
    return f"{expression.name}({', '.join(text_of(operand) for operand in expression.operands)})"
