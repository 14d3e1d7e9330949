"""Arithmetic and rounding of SQL on Arrow columns, equal to Flink's: Java's integers, `BigDecimal` for DECIMAL."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators import decimals
from operators.conversions import Unsupported, as_double, cast, common_type, is_exact, is_number, to_array
from operators.operands import Builder, Kernel, Operand, Value


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


NUMBER_FUNCTIONS: dict[str, Builder] = {
    **{name: partial(_arithmetic, name) for name in ("+", "-", "*", "/", "%")},
    "MOD": partial(_arithmetic, "%"),
    "/INT": partial(_arithmetic, "/"),
    "REINTERPRET": _reinterpret,
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
}
