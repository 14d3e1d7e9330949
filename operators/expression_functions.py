"""SQL functions on Arrow columns, equal to Flink's: what each operator and function of a window query computes.

`FUNCTIONS` maps Flink's internal name (`$PLUS$1` is `+`) to a builder. A builder gets the result type and the
operands' types and constants, checks them once, and returns a kernel: Arrow values in (arrays, or scalars for
constants), one Arrow value out. What is not exactly Flink's raises `Unsupported` in the builder, before any event
is read; the window then runs as native Flink SQL.

One deliberate difference: an integer or DECIMAL division by zero, and its remainder, is NULL, where Flink would stop
the whole job for that one record, at every restart. Where Flink gives a result, it is the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators import decimals
from operators.conversions import Unsupported, as_double, cast, is_exact, is_number
from operators.number_functions import NUMBER_FUNCTIONS
from operators.operands import Builder, Kernel, Operand, Value
from operators.text_functions import TEXT_FUNCTIONS

_COMPARISONS: dict[str, tuple[Kernel, Any]] = {
    "=": (pc.equal, np.equal),
    "<>": (pc.not_equal, np.not_equal),
    "<": (pc.less, np.less),
    "<=": (pc.less_equal, np.less_equal),
    ">": (pc.greater, np.greater),
    ">=": (pc.greater_equal, np.greater_equal),
}


def build(name: str, result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
    """Kernel of the function `name`.

    Raises:
        Unsupported: no such function here, or not with these operands.
    """
    builder = FUNCTIONS.get(name)
    if builder is None:
        raise Unsupported(f"function {name}")
    return builder(result, operands)


# ---------------------------------------------------------------- comparison and logic


def _compare(name: str, _result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
    left, right = (operand.type for operand in operands)
    arrow_test, numpy_test = _COMPARISONS[name]
    if left == right:
        return arrow_test
    if not (is_number(left) and is_number(right)):
        raise Unsupported(f"comparison of {left} with {right} (CAST one side)")
    if is_exact(left) and is_exact(right):
        return partial(_compare_exact, numpy_test)
    return lambda a, b: arrow_test(as_double(a), as_double(b))


def _compare_exact(test: Any, left: Value, right: Value) -> Value:
    truth, valid = decimals.compare(decimals.from_arrow(left), decimals.from_arrow(right), test)
    return pa.array(truth, pa.bool_(), mask=None if valid is None else ~valid)


def _not_distinct(_result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
    equal = _compare("=", pa.bool_(), operands)

    def kernel(left: Value, right: Value) -> Value:
        both_null = pc.and_(pc.is_null(left), pc.is_null(right))
        return pc.or_(pc.fill_null(equal(left, right), False), both_null)

    return kernel


def _distinct(result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
    same = _not_distinct(result, operands)
    return lambda left, right: pc.invert(same(left, right))


def _case(result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
    casts = [cast(operand.type, result) for operand in operands[1::2]] + [cast(operands[-1].type, result)]

    def kernel(*values: Value) -> Value:
        chosen = casts[-1](values[-1])
        for i in range(len(values) - 3, -1, -2):
            chosen = pc.if_else(pc.fill_null(values[i], False), casts[i // 2](values[i + 1]), chosen)
        return chosen

    return kernel


def _fold(function: Kernel) -> Builder:
    """A function of any number of operands, applied from left to right in the result type."""

    def builder(result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
        casts = [cast(operand.type, result) for operand in operands]
        return lambda *values: reduce(function, [to(value) for to, value in zip(casts, values, strict=True)])

    return builder


def _extreme(function: Kernel) -> Builder:
    """GREATEST and LEAST: NULL if any operand is."""

    def builder(result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
        if pa.types.is_floating(result) or pa.types.is_string(result) or pa.types.is_boolean(result):
            raise Unsupported(f"GREATEST or LEAST of {result}")
        return _fold(lambda a, b: pc.if_else(function(a, b), a, b))(result, operands)

    return builder


def _unary(function: Kernel) -> Builder:
    return lambda _result, _operands: function


# ---------------------------------------------------------------- time

_UNITS: dict[str, Kernel] = {
    "YEAR": pc.year,
    "QUARTER": pc.quarter,
    "MONTH": pc.month,
    "DAY": pc.day,
    "DOY": pc.day_of_year,
    "DOW": partial(pc.day_of_week, count_from_zero=False, week_start=7),
    "HOUR": pc.hour,
    "MINUTE": pc.minute,
    "SECOND": pc.second,
}


def _extract(result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
    """EXTRACT(unit FROM timestamp), in UTC."""
    unit = operands[0].constant.as_py() if operands[0].constant is not None else None
    if unit not in _UNITS or not pa.types.is_timestamp(operands[1].type):
        raise Unsupported(f"EXTRACT({unit} FROM {operands[1].type})")
    part = _UNITS[unit]
    return lambda _unit, value: part(value).cast(result)


FUNCTIONS: dict[str, Builder] = {
    **{name: partial(_compare, name) for name in _COMPARISONS},
    "AND": _fold(pc.and_kleene),
    "OR": _fold(pc.or_kleene),
    "NOT": _unary(pc.invert),
    "IS NULL": _unary(pc.is_null),
    "IS NOT NULL": _unary(pc.is_valid),
    "IS TRUE": _unary(lambda v: pc.fill_null(v, False)),
    "IS NOT TRUE": _unary(lambda v: pc.invert(pc.fill_null(v, False))),
    "IS FALSE": _unary(lambda v: pc.invert(pc.fill_null(v, True))),
    "IS NOT FALSE": _unary(lambda v: pc.fill_null(v, True)),
    "IS NOT DISTINCT FROM": _not_distinct,
    "IS DISTINCT FROM": _distinct,
    "CASE": _case,
    "IF": _case,
    "COALESCE": _fold(lambda a, b: pc.if_else(pc.is_valid(a), a, b)),
    "IFNULL": _fold(lambda a, b: pc.if_else(pc.is_valid(a), a, b)),
    "GREATEST": _extreme(pc.greater_equal),
    "LEAST": _extreme(pc.less_equal),
    "CAST": lambda result, operands: cast(operands[0].type, result),
    "EXTRACT": _extract,
    **NUMBER_FUNCTIONS,
    **TEXT_FUNCTIONS,
}
