"""SQL functions on Arrow columns, equal to Flink's: what each operator and function of a window query computes.

`FUNCTIONS` maps Flink's internal name (`$PLUS$1` is `+`) to a builder. A builder gets the result type and the
operands' types and constants, checks them once, and returns a kernel: Arrow values in (arrays, or scalars for
constants), one Arrow value out. What is not exactly Flink's raises `Unsupported` in the builder, before any event
is read; the window then runs as native Flink SQL.

One deliberate difference: an integer or DECIMAL division by zero, and its remainder, is NULL, where Flink would stop
the whole job for that one record, at every restart. Where Flink gives a result, it is the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import partial, reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators import decimals
from operators.conversions import Unsupported, as_double, cast, common_type, is_exact, is_number, to_array
from operators.text_functions import TEXT_FUNCTIONS

Value = Any  # pa.Array | pa.Scalar; pyarrow has no types for mypy
Kernel = Callable[..., Value]


@dataclass(frozen=True)
class Operand:
    """What a builder knows of an operand before any event: its type, and its value if it is a constant."""

    type: pa.DataType
    constant: pa.Scalar | None = None


Builder = Callable[[pa.DataType, Sequence[Operand]], Kernel]

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


# ---------------------------------------------------------------- arithmetic


def _arithmetic(name: str, result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
    types = [operand.type for operand in operands]
    if len(types) == 1:
        return _negate(result) if name == "-" else lambda value: value
    if any(pa.types.is_duration(t) for t in (result, *types)):
        return _time_arithmetic(name, result, types)
    if not all(is_number(t) for t in types):
        raise Unsupported(f"'{name}' of {types[0]} and {types[1]}")
    if pa.types.is_decimal(result):
        return _decimal_arithmetic(name, result, types)
    if name in ("/", "%") and pa.types.is_integer(result):
        return _integer_division(name, result, operands)
    casts = [cast(t, result) for t in types]
    function = {"+": pc.add, "-": pc.subtract, "*": pc.multiply, "/": pc.divide, "%": _float_remainder}[name]
    return lambda a, b: function(casts[0](a), casts[1](b))


def _negate(result: pa.DataType) -> Kernel:
    if pa.types.is_decimal(result):
        return lambda value: decimals.to_arrow(decimals.from_arrow(value).negated(), result)
    negate: Kernel = pc.negate
    return negate


def _time_arithmetic(name: str, result: pa.DataType, types: Sequence[pa.DataType]) -> Kernel:
    """A timestamp and an INTERVAL of days to milliseconds, or the distance of two timestamps (TIMESTAMPDIFF)."""
    timestamp, other = types
    shifts = timestamp == result and pa.types.is_duration(other)
    distance = timestamp == other and pa.types.is_duration(result)
    if name not in ("+", "-") or not pa.types.is_timestamp(timestamp) or not (shifts or distance):
        raise Unsupported(f"'{name}' of {timestamp} and {other} as {result}")
    function: Kernel = pc.add if name == "+" else pc.subtract
    return function


def _reinterpret(result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
    """An interval as its milliseconds."""
    if not pa.types.is_duration(operands[0].type) or not pa.types.is_int64(result):
        raise Unsupported(f"{operands[0].type} as {result}")
    return lambda value: pc.cast(value, pa.int64())


def _decimal_arithmetic(name: str, result: pa.DataType, types: Sequence[pa.DataType]) -> Kernel:
    if not all(is_exact(t) for t in types):
        raise Unsupported(f"'{name}' of {types[0]} and {types[1]} as {result}")
    exact = {"+": decimals.add, "-": decimals.subtract, "*": decimals.multiply, "%": decimals.remainder}.get(
        name, partial(decimals.divide, scale=result.scale)
    )
    return lambda a, b: decimals.to_arrow(exact(decimals.from_arrow(a), decimals.from_arrow(b)), result)


def _integer_division(name: str, result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
    """Towards zero, as Java does; NULL where the divisor is 0."""
    wide = common_type(operands[0].type, operands[1].type)
    if not pa.types.is_integer(wide):
        raise Unsupported(f"'{name}' of {operands[0].type} and {operands[1].type} as {result}")
    casts = [cast(operand.type, wide) for operand in operands]
    zero, minus_one = pa.scalar(0, wide), pa.scalar(-1, wide)

    def kernel(left: Value, right: Value) -> Value:
        a, b = casts[0](left), casts[1](right)
        divisor = pc.if_else(pc.equal(b, zero), pa.scalar(None, wide), b)
        # Arrow gives 0 for MIN / -1; Java wraps to MIN, which is what negation does
        quotient = pc.if_else(pc.equal(divisor, minus_one), pc.negate(a), pc.divide(a, divisor))
        return quotient if name == "/" else pc.subtract(a, pc.multiply(quotient, divisor))

    narrow = cast(wide, result)
    return lambda left, right: narrow(kernel(left, right))


def _float_remainder(left: Value, right: Value) -> Value:
    a, b = to_array(left), to_array(right)
    valid = a.is_valid().to_numpy(zero_copy_only=False) & b.is_valid().to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        rest = np.fmod(pc.fill_null(a, 0.0).to_numpy(), pc.fill_null(b, 1.0).to_numpy())
    return pa.array(rest, pa.float64(), mask=~valid)


def _double(function: Kernel) -> Builder:
    """A function of doubles."""

    def builder(_result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
        if not all(is_number(operand.type) for operand in operands):
            raise Unsupported(f"a number function of {operands[0].type}")
        return lambda *values: function(*[as_double(value) for value in values])

    return builder


def _absolute(result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
    if pa.types.is_decimal(result):
        return lambda value: decimals.to_arrow(decimals.from_arrow(value).absolute(), result)
    if operands[0].type != result:
        raise Unsupported(f"ABS of {operands[0].type} as {result}")
    absolute: Kernel = pc.abs
    return absolute


def _sign(result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
    if pa.types.is_floating(operands[0].type) or not is_number(operands[0].type):
        raise Unsupported(f"SIGN of {operands[0].type}")
    to = cast(pa.int64(), result)
    return lambda value: to(pc.sign(value).cast(pa.int64()))


def _round_to_whole(name: str, result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
    """FLOOR and CEIL of a number."""
    if len(operands) != 1:
        raise Unsupported(f"{name} of a time to a unit")
    if pa.types.is_integer(operands[0].type):
        return cast(operands[0].type, result)
    if pa.types.is_floating(operands[0].type):
        return _first(pc.floor if name == "FLOOR" else pc.ceil)

    def kernel(value: Value) -> Value:
        column = decimals.from_arrow(value)
        whole = column.floored() if name == "FLOOR" else column.negated().floored().negated()
        return decimals.to_arrow(whole, result)

    return kernel


def _round(result: pa.DataType, operands: Sequence[Operand]) -> Kernel:
    """ROUND(x, n) with a constant n: HALF_UP; a double is rounded as its shortest text (`BigDecimal.valueOf`)."""
    places = 0
    if len(operands) > 1:
        constant = operands[1].constant
        if constant is None or not constant.is_valid:
            raise Unsupported("ROUND to a computed number of digits")
        places = constant.as_py()
    source = operands[0].type
    if pa.types.is_integer(source) and places >= 0:
        return _first(cast(source, result))
    if pa.types.is_decimal(source) and pa.types.is_decimal(result):
        if places >= source.scale:
            return _first(cast(source, result))
        return lambda value, *_places: decimals.to_arrow(decimals.from_arrow(value).to_scale(places), result)
    if not pa.types.is_float64(source):
        raise Unsupported(f"ROUND of {source} to {places} digits")
    if places < 0:
        raise Unsupported("ROUND of a double to tens")
    quantum = Decimal(1).scaleb(-places)

    def rounded(value: float | None) -> float | None:
        if value is None or not np.isfinite(value):
            return value
        return float(Decimal(repr(value)).quantize(quantum, ROUND_HALF_UP, Context(prec=400)))

    return lambda value, *_places: pa.array([rounded(v) for v in to_array(value).to_pylist()], pa.float64())


def _first(function: Kernel) -> Kernel:
    return lambda value, *_constants: function(value)


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
    **{name: partial(_arithmetic, name) for name in ("+", "-", "*", "/", "%")},
    "MOD": partial(_arithmetic, "%"),
    "/INT": partial(_arithmetic, "/"),
    "REINTERPRET": _reinterpret,
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
    "ABS": _absolute,
    "SIGN": _sign,
    "FLOOR": partial(_round_to_whole, "FLOOR"),
    "CEIL": partial(_round_to_whole, "CEIL"),
    "ROUND": _round,
    "POWER": _double(pc.power),
    "SQRT": _double(pc.sqrt),
    "EXP": _double(pc.exp),
    "LN": _double(pc.ln),
    "LOG10": _double(pc.log10),
    "EXTRACT": _extract,
    **TEXT_FUNCTIONS,
}
