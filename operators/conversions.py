"""CAST and the number types: how Flink turns one SQL type into another, on Arrow columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators import decimals

_BIGINT_DIGITS = 19


class Unsupported(Exception):  # noqa: N818 it is an answer ("run it natively"), not a failure
    """Valid Flink SQL that the columnar operator would not compute exactly as Flink; the window runs natively."""


def is_number(kind: pa.DataType) -> bool:
    """Integers, floats and decimals."""
    return bool(is_exact(kind) or pa.types.is_floating(kind))


def is_exact(kind: pa.DataType) -> bool:
    """Integers and decimals."""
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def to_array(value: Any) -> pa.Array:
    """An array as it is; a constant as an array of one."""
    return pa.array([value.as_py()], value.type) if isinstance(value, pa.Scalar) else value


def as_double(value: Any) -> Any:
    """Any number as DOUBLE, rounded as Flink rounds."""
    if pa.types.is_decimal(value.type):
        column = decimals.from_arrow(value)
        doubles = decimals.to_double(column, value.type.precision)
        result = pa.array(doubles, pa.float64(), mask=None if column.valid is None else ~column.valid)
        return result[0] if isinstance(value, pa.Scalar) else result
    return pc.cast(value, pa.float64(), safe=False)


def common_type(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    """The type in which Flink combines two numbers: DOUBLE with a float, else the wider exact one."""
    if left == right:
        return left
    if pa.types.is_floating(left) or pa.types.is_floating(right):
        return pa.float64()
    if pa.types.is_integer(left) and pa.types.is_integer(right):
        return left if left.bit_width >= right.bit_width else right
    a, b = (t if pa.types.is_decimal(t) else pa.decimal128(_BIGINT_DIGITS, 0) for t in (left, right))
    scale = max(a.scale, b.scale)
    return pa.decimal128(min(38, max(a.precision - a.scale, b.precision - b.scale) + scale), scale)


def cast(source: pa.DataType, target: pa.DataType) -> Callable[[Any], Any]:
    """Kernel of CAST(source AS target).

    Raises:
        Unsupported: where Arrow and Flink would print, parse or round differently.
    """
    if source == target:
        return lambda value: value
    kernel = _cast(source, target)

    def keep_scalar(value: Any) -> Any:
        result = kernel(value)
        return result[0] if isinstance(value, pa.Scalar) and not isinstance(result, pa.Scalar) else result

    return keep_scalar


def _cast(source: pa.DataType, target: pa.DataType) -> Callable[[Any], Any]:
    if pa.types.is_null(source):
        return lambda value: pc.cast(value, target)
    if pa.types.is_string(target):
        return _to_text(source)
    if pa.types.is_decimal(target) and is_number(source):
        return _to_decimal(source, target)
    if pa.types.is_float64(target) and is_number(source):
        return as_double
    if pa.types.is_integer(target):
        return _to_integer(source, target)
    if pa.types.is_timestamp(source) and pa.types.is_timestamp(target):
        return lambda value: pc.cast(pc.cast(value, pa.int64()), target)  # LTZ in UTC and TIMESTAMP: the same count
    raise Unsupported(f"CAST({source} AS {target})")


def _to_integer(source: pa.DataType, target: pa.DataType) -> Callable[[Any], Any]:
    if pa.types.is_integer(source) or pa.types.is_boolean(source):
        return lambda value: pc.cast(value, target, safe=False)  # a too large number wraps, as in Java
    if pa.types.is_decimal(source):
        return lambda value: _whole(value, target)
    if pa.types.is_floating(source) and (pa.types.is_int32(target) or pa.types.is_int64(target)):
        return lambda value: _saturated(value, target)
    raise Unsupported(f"CAST({source} AS {target})")


def _whole(value: Any, target: pa.DataType) -> pa.Array:
    column = decimals.from_arrow(value).truncated()
    digits = column.digits
    if digits.dtype == object:  # BigDecimal.longValue keeps the low 64 bits
        digits = (digits & (2**64 - 1)).astype(np.uint64).view(np.int64)
    mask = None if column.valid is None else ~column.valid
    return pc.cast(pa.array(digits, pa.int64(), mask=mask), target, safe=False)


def _saturated(value: Any, target: pa.DataType) -> pa.Array:
    """Java's (int) of a double: towards zero, the nearest bound when too large, 0 for NaN."""
    array = to_array(value)
    doubles = np.nan_to_num(pc.fill_null(array, 0.0).to_numpy(zero_copy_only=False).astype(np.float64), nan=0.0)
    bounds = np.iinfo(np.dtype(target.to_pandas_dtype()))
    whole = np.where(doubles >= float(bounds.max), 0.0, np.maximum(doubles, float(bounds.min))).astype(np.int64)
    whole = np.where(doubles >= float(bounds.max), bounds.max, whole)
    return pa.array(whole, pa.int64(), mask=pc.is_null(array).to_numpy(zero_copy_only=False)).cast(target)


def _to_decimal(source: pa.DataType, target: pa.DataType) -> Callable[[Any], Any]:
    if is_exact(source):
        return lambda value: decimals.to_arrow(decimals.from_arrow(value), target)

    def kernel(value: Any) -> pa.Array:
        array = to_array(value)
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        doubles = pc.fill_null(array, 0.0).to_numpy(zero_copy_only=False).astype(np.float64)
        return decimals.to_arrow(decimals.from_double(doubles, valid, target.scale), target)

    return kernel


def _to_text(source: pa.DataType) -> Callable[[Any], Any]:
    if pa.types.is_integer(source):
        return lambda value: pc.cast(value, pa.string())
    if pa.types.is_boolean(source):
        return lambda value: pc.if_else(value, "TRUE", "FALSE")
    if pa.types.is_decimal(source):
        return lambda value: decimals.from_arrow(value).plain_strings()
    if pa.types.is_timestamp(source):
        return lambda value: pc.strftime(value, format="%Y-%m-%d %H:%M:%S")  # Arrow prints the milliseconds with %S
    raise Unsupported(f"CAST({source} AS STRING): Java and Arrow print it differently")
